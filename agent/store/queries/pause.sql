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
