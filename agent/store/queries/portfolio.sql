-- name: choose_rules
-- Role and packs of a portfolio, whose row is raised and locked: begins after this compare with it.
with chosen as (
    update portfolio set role = :role, packs = :packs::text[]
    where id = :portfolio
    returning id, rev
)
insert into portfolio_rules (portfolio_id, role, packs, reason, chosen_by, chosen_at, portfolio_rev)
select id, :role, :packs::text[], :reason, :by, :now, rev from chosen
returning id;
