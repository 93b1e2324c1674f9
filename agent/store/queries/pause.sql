-- name: take_turn
-- Wait until every begin of this portfolio has ended; those that come later wait for us.
select pg_advisory_xact_lock(hashtext('portfolio'), :portfolio::int);

-- name: raise_portfolio
-- One portfolio's rev, or everyone's (portfolio 0), each held so that no begin reads it meanwhile.
with locked as materialized (
    select id from portfolio where :portfolio::int = 0 or id = :portfolio
    order by id
    for no key update
)
update portfolio p set rev = p.rev + 1
from locked l
where p.id = l.id
returning p.id, p.rev;

-- name: portfolios_in_order
-- Every portfolio, in the order in which they are locked.
select id from portfolio order by id;

-- name: insert_pause
-- A kill switch that is open already stays as it is.
insert into pause (portfolio_id, scope, subject, reason, paused_by, paused_at, paused_rev)
values (:portfolio, :scope, :subject, :reason, :by, :now, :rev)
on conflict (portfolio_id, scope, subject) where resumed_at is null do nothing
returning id;

-- name: close_pause
-- The end of a kill switch.
update pause set resumed_at = :now, resumed_by = :by, resumed_rev = :rev, resume_reason = :reason
where portfolio_id = :portfolio and scope = :scope and subject = :subject and resumed_at is null
returning id;

-- name: wake_paused
-- Notices whose last decision was a snooze under such a switch are looked at again at once. One that a
-- begin has locked is left to it: it waits for us and then sees no switch.
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
      and n.state in ('waiting', 'awaiting_receipt') and n.next_at > :now
      and d.verdict = 'snooze' and 'paused:' || :scope::text = any(d.rules)
    for update of n skip locked
)
update notice n set next_at = :now
from last l
where n.portfolio_id = l.portfolio_id and n.loan_id = l.loan_id and n.anchor = l.anchor
  and n.stage = l.stage;
