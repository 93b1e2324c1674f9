-- name: plan_state
-- How far planning has come with which version of the schedule, and the zones of loans that can still be
-- planned, found by skipping through the index, not by a scan.
with recursive z as (
    (select zone from loan where portfolio_id = :portfolio and status = 'open' and contact_ended_at is null
     order by zone limit 1)
    union all
    select (select l.zone from loan l
            where l.portfolio_id = :portfolio and l.status = 'open' and l.contact_ended_at is null
              and l.zone > z.zone
            order by l.zone limit 1)
    from z where z.zone is not null
)
select zones.found as zones, m.schedule_version, m.planned_at, m.planned_through
from (select coalesce(array_agg(zone), '{}') as found from z where zone is not null) zones
left join plan_mark m on m.portfolio_id = :portfolio;

-- name: plan_notices
-- The plan of a window that was not planned before, in one statement: moments of the ladder meet loans
-- on their anchor. Regular moments match one anchor; late ones match loans that entered after their
-- stage had passed, which only loans that entered since :entered_since can have done.
-- What is planned already, closed ones included, stays as it is. A held loan is skipped: what comes to it is
-- called off by call_off_held. Once contact has ended a loan is past its ladder whatever its anchor is.
with regular as (
    select * from unnest(:r_zones::text[], :r_stages::text[], :r_anchors::date[],
                         :r_dues::timestamptz[], :r_ends::timestamptz[])
         as m (zone, stage, anchor, due_at, not_after)
), late as (
    select * from unnest(:l_zones::text[], :l_stages::text[], :l_mins::date[], :l_maxs::date[],
                         :l_sinces::timestamptz[], :l_dues::timestamptz[], :l_ends::timestamptz[])
         as m (zone, stage, anchor_min, anchor_max, since_after, due_at, not_after)
), entered as materialized (
    select id, borrower_id, zone, anchor, anchor_since, held_until from loan
    where portfolio_id = :portfolio and status = 'open' and contact_ended_at is null
      and anchor_since > :entered_since
)
insert into notice (portfolio_id, loan_id, anchor, stage, borrower_id, schedule_version,
                    due_at, not_after, next_at, planned_at)
select :portfolio, l.id, l.anchor, m.stage, l.borrower_id, :version::int,
       m.due_at, m.not_after, m.due_at, :now::timestamptz
from regular m
join loan l on l.portfolio_id = :portfolio and l.zone = m.zone and l.anchor = m.anchor
           and l.status = 'open' and l.contact_ended_at is null
where l.anchor_since <= m.due_at
  and (l.held_until is null or l.held_until <= m.due_at)
union all
select :portfolio, l.id, l.anchor, m.stage, l.borrower_id, :version::int,
       m.due_at, m.not_after, m.due_at, :now::timestamptz
from entered l
join late m on l.zone = m.zone and l.anchor_since > m.since_after and l.anchor_since <= m.due_at
           and l.anchor <= m.anchor_max and l.anchor >= m.anchor_min
where l.held_until is null or l.held_until <= m.due_at
on conflict (portfolio_id, loan_id, anchor, stage) do nothing;

-- name: plan_changed
-- The same for a window that was planned before: only loans whose anchor moved since need a look.
with regular as (
    select * from unnest(:r_zones::text[], :r_stages::text[], :r_anchors::date[],
                         :r_dues::timestamptz[], :r_ends::timestamptz[])
         as m (zone, stage, anchor, due_at, not_after)
), late as (
    select * from unnest(:l_zones::text[], :l_stages::text[], :l_mins::date[], :l_maxs::date[],
                         :l_sinces::timestamptz[], :l_dues::timestamptz[], :l_ends::timestamptz[])
         as m (zone, stage, anchor_min, anchor_max, since_after, due_at, not_after)
), changed as materialized (
    select id, borrower_id, zone, anchor, anchor_since, held_until from loan
    where portfolio_id = :portfolio and status = 'open' and contact_ended_at is null
      and anchor_since > :changed_since
)
insert into notice (portfolio_id, loan_id, anchor, stage, borrower_id, schedule_version,
                    due_at, not_after, next_at, planned_at)
select :portfolio, l.id, l.anchor, m.stage, l.borrower_id, :version::int,
       m.due_at, m.not_after, m.due_at, :now::timestamptz
from changed l
join regular m on l.zone = m.zone and l.anchor = m.anchor
where l.anchor_since <= m.due_at
  and (l.held_until is null or l.held_until <= m.due_at)
union all
select :portfolio, l.id, l.anchor, m.stage, l.borrower_id, :version::int,
       m.due_at, m.not_after, m.due_at, :now::timestamptz
from changed l
join late m on l.zone = m.zone and l.anchor_since > m.since_after and l.anchor_since <= m.due_at
           and l.anchor <= m.anchor_max and l.anchor >= m.anchor_min
where l.held_until is null or l.held_until <= m.due_at
on conflict (portfolio_id, loan_id, anchor, stage) do nothing;

-- name: reopen_notices
-- What was called off before anything was tried (paid, another anchor) comes back once, late, where the
-- loan has come back to that anchor since (a payment bounced) and is still at that stage. When it was due
-- stays as it was: earlier decisions were about that time. So does the last word of a ladder that was taken
-- back: contact would not be open otherwise.
with late as (
    select * from unnest(:l_zones::text[], :l_stages::text[], :l_mins::date[], :l_maxs::date[],
                         :l_sinces::timestamptz[], :l_dues::timestamptz[], :l_ends::timestamptz[])
         as m (zone, stage, anchor_min, anchor_max, since_after, due_at, not_after)
), back as materialized (
    select l.id, l.anchor, m.stage, m.due_at, m.not_after
    from loan l
    join late m on l.zone = m.zone and l.anchor_since > m.since_after and l.anchor_since <= m.due_at
               and l.anchor <= m.anchor_max and l.anchor >= m.anchor_min
    where l.portfolio_id = :portfolio and l.status = 'open' and l.contact_ended_at is null
      and l.anchor_since > :changed_since and l.anchor_since > l.opened_at
      and (l.held_until is null or l.held_until <= m.due_at)
)
update notice n
set state = 'waiting', reason = null, closed_at = null, schedule_version = :version::int,
    not_after = b.not_after, next_at = b.due_at, planned_at = :now::timestamptz
from back b
where n.portfolio_id = :portfolio and n.loan_id = b.id and n.anchor = b.anchor and n.stage = b.stage
  and (n.state = 'cancelled' or (n.state = 'done' and n.stage = any(:endings::text[])))
  and n.fence = 0 and n.next_at < b.due_at;

-- name: set_plan_mark
-- Remember how far planning has come.
insert into plan_mark (portfolio_id, schedule_version, planned_at, planned_through)
values (:portfolio, :version, :now, :through)
on conflict (portfolio_id) do update
set schedule_version = excluded.schedule_version, planned_at = excluded.planned_at,
    planned_through = excluded.planned_through;
