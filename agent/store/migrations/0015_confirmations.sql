-- Whether an opt-out was answered, and by which rules: at most once, and never again.

create table confirmation (
    portfolio_id integer not null default 0 check (portfolio_id = 0),
    channel text not null,
    provider_id text not null,
    address_key bytea not null check (length(address_key) = 16),
    decided_at timestamptz not null,
    rules text[] not null,
    packs text not null,
    state text not null check (state in ('none', 'begun', 'accepted', 'refused', 'unknown')),
    token text,
    body bytea,
    deadline_at timestamptz,
    settled_at timestamptz,
    sent_as text,
    primary key (portfolio_id, channel, provider_id),
    check ((state = 'none') = (token is null)),
    foreign key (portfolio_id, channel, provider_id) references inbound (portfolio_id, channel, provider_id)
);
create index confirmation_of_number on confirmation (portfolio_id, channel, address_key, decided_at);
create index confirmation_open on confirmation (deadline_at) where state = 'begun';
comment on table confirmation is 'The answer to an opt-out, or why there is none. It is sent once: what is not known to have arrived is not sent again.';
create index inbound_opt_outs on inbound (received_at) where reading = 'opt_out';
