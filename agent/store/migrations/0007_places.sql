-- Where a person may be, from all that is known of it.

alter table borrower add column clues jsonb not null default '{}' check (jsonb_typeof(clues) = 'object');
alter table borrower drop constraint borrower_zones_check;
alter table borrower add constraint borrower_zones_check check (cardinality(zones) <= 100);
comment on column borrower.clues is
    'What was said of a place besides zones and region: state of the address, zone of the device, statement.';
comment on column borrower.zones is 'Every zone the person may be in; none where nobody knows: then nobody contacts them.';
comment on column borrower.region is 'The places whose packs protect the person, joined by +; what the ledger named comes first.';

alter table contact_point add column number_block text;
comment on column contact_point.number_block is
    'First digits of a number, the others zero: what it tells of a place, and not whose it is.';

create table place_before (
    portfolio_id integer not null,
    borrower_id bigint not null,
    rev bigint not null,
    until_at timestamptz not null,
    zones text[] not null,
    region text,
    primary key (portfolio_id, borrower_id, rev)
);
comment on table place_before is
    'Where a person was thought to be before the change that raised their rev to this one: what decisions then went by.';
