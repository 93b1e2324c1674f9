-- name: adverse_standing
-- What decides whether adverse outcomes may leave: the packs that bind, where the person may be, whether
-- they were taken back meanwhile. Those that may have left already are not asked about again.
select o.loan_id, o.seq, o.data ->> 'anchor' as anchor, o.held_by,
       exists (select 1 from outcome r where r.portfolio_id = o.portfolio_id and r.loan_id = o.loan_id
                 and r.corrects = o.seq) as taken_back,
       n.ref, n.zone, b.region, b.zones, p.packs, p.role,
       -- what is stated of the loan comes after, and so before, what is stated of the person
       (select jsonb_object_agg(f.name, f.value order by f.loan_ref) from stated_fact f
        where f.portfolio_id = n.portfolio_id and f.borrower_id = n.borrower_id
          and f.loan_ref in ('', n.ref)) as stated,
       o.type, n.currency, (o.data ->> 'dpd')::int as dpd, owed.overdue_minor, owed.balance_minor,
       (select array_agg(distinct h.reason) from hold h
        where h.portfolio_id = n.portfolio_id and h.borrower_id = n.borrower_id and h.lifted_at is null
          and (h.scope = 'person' or (h.scope = 'loan' and h.loan_id = n.id))
          and h.from_at <= :now and (h.until_at is null or h.until_at > :now)) as holds
from unnest(:loans::bigint[], :seqs::int[]) as w (loan_id, seq)
join outcome o on o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq = w.seq
join loan n on n.portfolio_id = o.portfolio_id and n.id = o.loan_id
join borrower b on b.portfolio_id = n.portfolio_id and b.id = n.borrower_id
join portfolio p on p.id = o.portfolio_id
cross join lateral (
    select (coalesce(sum(i.amount_minor) filter (
                where i.due_on <= (:now::timestamptz at time zone n.zone)::date), 0) - n.paid_minor)::bigint as overdue_minor,
           (coalesce(sum(i.amount_minor), 0) - n.paid_minor)::bigint as balance_minor
    from instalment i where i.portfolio_id = n.portfolio_id and i.loan_id = n.id
) owed
where o.let_go_at is null and o.withheld_at is null;

-- name: attempts_of_loans
-- What was tried for these loans, with the schedule version that each notice was planned by.
select n.loan_id, n.anchor, n.stage, n.schedule_version, a.state, a.begun_at
from unnest(:loans::bigint[]) as w (loan_id)
join notice n on n.portfolio_id = :portfolio and n.loan_id = w.loan_id
join lateral (
    select state, begun_at from attempt
    where portfolio_id = n.portfolio_id and loan_id = n.loan_id and anchor = n.anchor and stage = n.stage
    union all
    select state, begun_at from attempt_archive
    where portfolio_id = n.portfolio_id and loan_id = n.loan_id and anchor = n.anchor and stage = n.stage
) a on true;

-- name: notices_by_hand
-- Notices that staff gave by other means.
select g.loan_id, g.anchor, g.given_on from notice_given g
where g.portfolio_id = :portfolio and g.loan_id = any(:loans::bigint[]) and g.before = :before;

-- name: schedules_of
-- The sources of these schedule versions.
select version, source from schedule_version
where portfolio_id = :portfolio and version = any(:versions::int[]);

-- name: mark_held
-- Say of outcomes which rules hold them back.
update outcome o set held_by = string_to_array(w.rules, ',')
from unnest(:loans::bigint[], :seqs::int[], :rules::text[]) as w (loan_id, seq, rules)
where o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq = w.seq;

-- name: let_go
-- Nothing holds these back any more.
update outcome o set let_go_at = :now, held_by = null
from unnest(:loans::bigint[], :seqs::int[]) as w (loan_id, seq)
where o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq = w.seq and o.let_go_at is null;

-- name: withhold
-- Outcomes that were taken back before they could leave: from now on only their number is told.
update outcome o set withheld_at = :now, held_by = null
from unnest(:loans::bigint[], :seqs::int[]) as w (loan_id, seq)
where o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq = w.seq and o.withheld_at is null;

-- name: give_notice
-- Staff gave the notice of what is owed since this due date by other means.
insert into notice_given (portfolio_id, loan_id, anchor, before, given_on, recorded_at, recorded_by, reason)
select n.portfolio_id, n.id, n.anchor, :before, :given_on, :now, :by, :reason
from loan n where n.portfolio_id = :portfolio and n.id = :loan and n.anchor is not null
returning anchor;

-- name: held_outcomes
-- What is held back, by which rules, and when it is looked at again.
select p.name as portfolio, n.ref as loan, n.zone, o.seq, o.type, o.occurred_at, o.held_by, o.next_try_at
from outcome o
join loan n on n.portfolio_id = o.portfolio_id and n.id = o.loan_id
join portfolio p on p.id = o.portfolio_id
where o.held_by is not null and o.acked_at is null
order by o.portfolio_id, n.ref, o.seq
limit :most;
