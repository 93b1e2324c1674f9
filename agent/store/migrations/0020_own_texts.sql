-- The texts that a lender has instead of the shipped ones, each version with who wrote and who approved it.

create table text_version (
    portfolio_id integer not null references portfolio (id),
    locale text not null check (locale ~ '^[a-z]{2,3}(-[A-Z]{2})?$'),
    message text not null check (message ~ '^[a-z0-9]+(-[a-z0-9]+)*([.]push)?$'),
    version integer not null check (version > 0),
    source text check (length(btrim(source)) between 1 and 16384),
    allowed_hosts text[] not null default '{}',
    author text not null check (btrim(author) <> ''),
    approved_by text not null check (btrim(approved_by) <> ''),
    reason text not null check (btrim(reason) <> ''),
    active_from timestamptz not null,
    portfolio_rev bigint not null,
    primary key (portfolio_id, locale, message, version),
    constraint approved_by_another check (lower(btrim(approved_by)) <> lower(btrim(author)))
);
comment on table text_version is 'A lender''s own texts; the newest version of each counts, one without a source is the shipped text again. Append only.';
comment on column text_version.source is 'The text as its author wrote it, as it was checked when it was saved.';
comment on column text_version.allowed_hosts is 'Where links of the text may lead, as its approver allowed.';
comment on column text_version.portfolio_rev is 'What begins compare with: one that read it, or a later one, had this version.';

alter table portfolio add column texts text not null default '';
comment on column portfolio.texts is 'Names the set of own texts in force, from what they say; empty while all are the shipped ones. Each begin reads it.';
