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

-- name: wake_held_by_rules
-- Notices that only wait because a pack or a fact was missing are looked at again at once.
with last as (
    select n.portfolio_id, n.loan_id, n.anchor, n.stage
    from notice n
    cross join lateral (
        select d.verdict, d.rules from decision d
        where d.portfolio_id = n.portfolio_id and d.loan_id = n.loan_id and d.anchor = n.anchor
          and d.stage = n.stage
        order by d.decided_at desc, d.id desc limit 1
    ) d
    where n.portfolio_id = :portfolio
      and n.state in ('waiting', 'awaiting_receipt') and n.next_at > :now and d.verdict = 'snooze'
      and exists (select 1 from unnest(d.rules) as r (rule)
                  where r.rule like 'pack-missing:%' or r.rule like 'ENGINE-FACT-MISSING%')
    for update of n skip locked
)
update notice n set next_at = :now
from last l
where n.portfolio_id = l.portfolio_id and n.loan_id = l.loan_id and n.anchor = l.anchor
  and n.stage = l.stage;
