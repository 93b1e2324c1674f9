-- Facts that only the ledger can know and that conduct rules name: whether a debt is time-barred, when validation
-- information was sent, whether an attorney answers. Read only when a pack in force names them.

create table stated_fact (
    portfolio_id integer not null,
    borrower_id bigint not null,
    loan_ref text not null default '',
    name text not null check (name ~ '^[a-z][a-z0-9_]{0,63}$'),
    value jsonb not null check (jsonb_typeof(value) in ('boolean', 'number', 'string', 'null')),
    told_at timestamptz not null,
    primary key (portfolio_id, borrower_id, loan_ref, name),
    foreign key (portfolio_id, borrower_id) references borrower (portfolio_id, id)
);
comment on table stated_fact is 'What the ledger states of a person, or of one of their loans; the newest word counts, null takes it back.';
