-- How long a person's data is kept, by which rules, and what was erased when they were over.

create table retention (
    portfolio_id integer not null,
    borrower_id bigint not null,
    looked_at timestamptz not null,
    look_at timestamptz not null,
    reason text not null,
    kept_through date,
    delete_by date,
    rules text[] not null,
    primary key (portfolio_id, borrower_id)
);
comment on table retention is 'Why a person''s data is still kept, as of the last look, and when it is looked at again.';

create table erasure (
    portfolio_id integer not null,
    borrower_id bigint not null,
    erased_at timestamptz not null,
    rules text[] not null,
    packs text not null,
    kept_through date,
    delete_by date,
    erased jsonb not null,
    primary key (portfolio_id, borrower_id, erased_at)
);
comment on table erasure is 'What was erased of a person, and by which rules their time was over. Append only.';
create index retention_due on retention (look_at);
