-- name: choose_rules
-- Role, packs and country of a portfolio, whose row is raised and locked: begins after this compare with it.
with chosen as (
    update portfolio set role = :role, packs = :packs::text[], country = :country
    where id = :portfolio
    returning id, rev
)
insert into portfolio_rules (portfolio_id, role, packs, country, reason, chosen_by, chosen_at, portfolio_rev)
select id, :role, :packs::text[], :country, :reason, :by, :now, rev from chosen
returning id;

-- name: people_unplaced
-- The next people by id of whom the ledger named no time zone.
select id from borrower
where portfolio_id = :portfolio and id > :after and not told ? 'zones'
order by id
limit :batch;

-- name: place_people
-- Where people may be, weighed anew; they are locked by then.
update borrower b set zones = string_to_array(w.zones, ','), region = w.region
from unnest(:ids::bigint[], :zones::text[], :regions::text[]) as w (id, zones, region)
where b.portfolio_id = :portfolio and b.id = w.id;
