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

-- name: texts_filtered
-- The texts that these messages were sent with and that go on. Not one that is stopped, nor one that staff let
-- go on after its message had been begun: what was sent before says nothing new of it.
select a.template, max(w.code) as code
from unnest(:tokens::text[], :codes::text[]) as w (token, code)
join attempt a on a.portfolio_id = :portfolio and a.token = w.token
where not exists (select 1 from pause p
                  where p.portfolio_id = :portfolio and p.scope = 'template' and p.subject = a.template
                    and (p.resumed_at is null or p.resumed_rev > a.portfolio_rev))
group by a.template
order by a.template;

-- name: stopped_texts
-- Texts that are stopped; without a portfolio, everywhere.
select case when p.portfolio_id > 0 then f.name end as portfolio, p.subject, p.reason, p.paused_by, p.paused_at
from pause p
join portfolio f on f.id = p.portfolio_id
where p.scope = 'template' and p.resumed_at is null
order by p.paused_at, p.id;

-- name: template_stops
-- Where this text is stopped; portfolio 0 is everywhere.
select portfolio_id from pause
where scope = 'template' and subject = :subject and resumed_at is null
order by portfolio_id;

-- name: close_filtered_cases
-- Staff let a text go on: what its case asked for was done.
update case_item set closed_at = :now, closed_by = :by,
       detail = detail || jsonb_build_object('reason', :reason::text)
where portfolio_id = :portfolio and kind = 'filtered' and closed_at is null
  and subject = 'text ' || :subject;
