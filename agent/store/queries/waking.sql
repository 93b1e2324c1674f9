-- name: wake_held
-- Notices whose last decision was a snooze for a rule of these names (patterns of LIKE) are looked at again
-- at once, in one portfolio or in all (portfolio 0). One that a begin has locked is left to it: it waits for
-- us, or reads what we changed.
with last as (
    select n.portfolio_id, n.loan_id, n.anchor, n.stage
    from notice n
    cross join lateral (
        select d.verdict, d.rules from decision d
        where d.portfolio_id = n.portfolio_id and d.loan_id = n.loan_id and d.anchor = n.anchor
          and d.stage = n.stage
        order by d.decided_at desc, d.id desc limit 1
    ) d
    where (:portfolio::int = 0 or n.portfolio_id = :portfolio)
      and n.state in ('waiting', 'awaiting_receipt') and n.next_at > :now and d.verdict = 'snooze'
      and exists (select 1 from unnest(d.rules) as r (rule) where r.rule like any(:rules::text[]))
    order by n.next_at
    limit :most::bigint
    for update of n skip locked
)
update notice n set next_at = :now
from last l
where n.portfolio_id = l.portfolio_id and n.loan_id = l.loan_id and n.anchor = l.anchor
  and n.stage = l.stage;
