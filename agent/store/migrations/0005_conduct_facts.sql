-- Facts that conduct rules ask for: whose debt it is, what a person agreed to, when a number was last known to
-- be theirs, and hours at which they want to be left alone. Few people have a row here, and dispatch reads
-- these tables only when a pack in force asks.

alter table portfolio add column role text check (role in ('first_party', 'third_party'));
comment on column portfolio.role is 'Who collects: the lender its own debt, or somebody for others. Null: not known, so every rule binds.';

create table preference (
    portfolio_id integer not null,
    borrower_id bigint not null,
    quiet jsonb not null default '[]' check (jsonb_typeof(quiet) = 'array'),
    quiet_told_at timestamptz not null default '-infinity',
    waivers jsonb not null default '[]' check (jsonb_typeof(waivers) = 'array'),
    waivers_told_at timestamptz not null default '-infinity',
    primary key (portfolio_id, borrower_id),
    foreign key (portfolio_id, borrower_id) references borrower (portfolio_id, id)
);
comment on table preference is 'What a person asked for: hours without contact, and rules that they waived. The newest word on each counts.';
comment on column preference.quiet is '[[weekdays 0-6 on which it begins], first minute of the day, last minute of the day] each.';
comment on column preference.waivers is '[what is waived, whom the consent was given to, instant] each.';

create table contact_evidence (
    portfolio_id integer not null,
    contact_point_id bigint not null,
    consent_source text,
    consent_at timestamptz,
    given_to text check (given_to in ('lender', 'collector')),
    scopes text[] not null default '{}' check (scopes <@ '{service,commercial}'),
    revoked_at timestamptz,
    consent_told_at timestamptz not null default '-infinity',
    checked_at timestamptz,
    primary key (portfolio_id, contact_point_id),
    foreign key (portfolio_id, contact_point_id) references contact_point (portfolio_id, id),
    check (consent_source is not null or (given_to is null and revoked_at is null and scopes = '{}'))
);
comment on table contact_evidence is 'More than contact_point knows of a consent: to whom, for what, and whether it was taken back.';
comment on column contact_evidence.checked_at is 'When somebody last made sure that the number still is this person''s.';
