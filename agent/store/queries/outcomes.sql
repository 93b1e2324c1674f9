-- name: lock_due_heads
-- Loans with something due, by their first unacknowledged outcome (the head), oldest first.
-- Only a head carries a time; followers are parked at infinity, so the scan meets due work only. A new
-- outcome comes with a time of its own: if it is no head, the caller parks it. Whoever parks, leases or
-- acknowledges holds the head's lock, so a wake-up cannot be overtaken by a parking.
with due as (
    select loan_id, next_try_at
    from outcome
    where portfolio_id = :portfolio and acked_at is null and next_try_at <= :now
    order by next_try_at, loan_id, seq
    limit :batch
), due_loan as (
    select loan_id, min(next_try_at) as since from due group by loan_id
)
select h.loan_id, h.seq,
       h.stuck_reason is null and h.next_try_at <= :now as ready
from due_loan d
cross join lateral (
    select o.seq from outcome o
    where o.portfolio_id = :portfolio and o.loan_id = d.loan_id and o.acked_at is null
    order by o.seq limit 1
) first
join outcome h on h.portfolio_id = :portfolio and h.loan_id = d.loan_id and h.seq = first.seq
where h.acked_at is null
order by d.since, d.loan_id
for update of h skip locked;

-- name: lease_runs
-- Lease the first outcomes of loans whose heads we hold. The head comes back when the lease runs out.
-- `rank` counts what is unacknowledged: a hole means that another transaction holds the outcome there.
with run as (
    select w.loan_id, w.head, r.seq, r.rank
    from unnest(:loans::bigint[], :heads::int[]) as w (loan_id, head)
    cross join lateral (
        select o.seq, row_number() over (order by o.seq) as rank
        from outcome o
        where o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq >= w.head
          and o.acked_at is null
        order by o.seq limit :run
    ) r
), locked as (
    select o.loan_id, o.seq, run.rank, run.head
    from run
    join outcome o on o.portfolio_id = :portfolio and o.loan_id = run.loan_id and o.seq = run.seq
    where o.acked_at is null
    for update of o skip locked
), leased as (
    update outcome o
    set lease_until = :lease::timestamptz,
        next_try_at = case when o.seq = l.head then :lease::timestamptz else 'infinity'::timestamptz end
    from locked l
    where o.portfolio_id = :portfolio and o.loan_id = l.loan_id and o.seq = l.seq
    returning o.loan_id, o.seq, l.rank, o.type, o.occurred_at, o.data, o.corrects, o.tries, o.withheld_at
)
select x.loan_id, x.seq, x.rank, x.type, x.occurred_at, x.data, x.corrects, x.tries, x.withheld_at,
       p.name as portfolio, n.ref as loan, n.zone
from leased x
join loan n on n.portfolio_id = :portfolio and n.id = x.loan_id
join portfolio p on p.id = :portfolio
order by x.loan_id, x.seq;

-- name: park_followers
-- Outcomes behind a head that we hold wait for its acknowledgement, not for a time.
with follower as (
    select o.loan_id, o.seq
    from unnest(:loans::bigint[], :heads::int[]) as w (loan_id, head)
    join outcome o on o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq > w.head
    where o.acked_at is null and o.next_try_at < 'infinity'
    for update of o skip locked
)
update outcome o set next_try_at = 'infinity'
from follower f
where o.portfolio_id = :portfolio and o.loan_id = f.loan_id and o.seq = f.seq;

-- name: acknowledge
-- Done: the ledger said so to the holder of this very lease.
with mine as (
    select o.loan_id, o.seq
    from unnest(:loans::bigint[], :seqs::int[], :leases::timestamptz[]) as w (loan_id, seq, lease)
    join outcome o on o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq = w.seq
    where o.acked_at is null and o.lease_until = w.lease
    order by o.loan_id, o.seq
    for update of o
)
update outcome o set acked_at = :now, lease_until = null
from mine m
where o.portfolio_id = :portfolio and o.loan_id = m.loan_id and o.seq = m.seq;

-- name: put_off
-- Heads that go back with a time of their own: failed ones with one more try, untouched ones without.
with mine as (
    select o.loan_id, o.seq, w.failed, w.at
    from unnest(:loans::bigint[], :seqs::int[], :leases::timestamptz[], :failed::int[],
                :ats::timestamptz[]) as w (loan_id, seq, lease, failed, at)
    join outcome o on o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq = w.seq
    where o.acked_at is null and o.lease_until = w.lease
    order by o.loan_id, o.seq
    for update of o
)
update outcome o set tries = o.tries + m.failed, next_try_at = m.at, lease_until = null
from mine m
where o.portfolio_id = :portfolio and o.loan_id = m.loan_id and o.seq = m.seq;

-- name: stick
-- The ledger will not take these: their loans' feeds stop here until staff let them go on.
with mine as (
    select o.loan_id, o.seq, w.reason
    from unnest(:loans::bigint[], :seqs::int[], :leases::timestamptz[], :reasons::text[])
         as w (loan_id, seq, lease, reason)
    join outcome o on o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.seq = w.seq
    where o.acked_at is null and o.lease_until = w.lease
    order by o.loan_id, o.seq
    for update of o
)
update outcome o
set tries = o.tries + 1, stuck_reason = m.reason, next_try_at = 'infinity', lease_until = null
from mine m
where o.portfolio_id = :portfolio and o.loan_id = m.loan_id and o.seq = m.seq
returning o.loan_id, o.seq, o.stuck_reason;

-- name: wake_heads
-- What was acknowledged lets the next outcome of its loan go. A statement of its own, after the
-- acknowledgement, so that it sees what was parked before that.
with next as (
    select first.loan_id, first.seq
    from unnest(:loans::bigint[]) as w (loan_id)
    cross join lateral (
        select o.loan_id, o.seq, o.next_try_at, o.stuck_reason from outcome o
        where o.portfolio_id = :portfolio and o.loan_id = w.loan_id and o.acked_at is null
        order by o.seq limit 1
    ) first
    where first.next_try_at = 'infinity' and first.stuck_reason is null
    order by first.loan_id
)
update outcome o set next_try_at = :now
from next n
where o.portfolio_id = :portfolio and o.loan_id = n.loan_id and o.seq = n.seq and o.acked_at is null;

-- name: open_feed_cases
-- One open case a loan (or, without a loan, one for the ledger's address).
insert into case_item (portfolio_id, kind, subject, loan_id, borrower_id, detail, opened_at, due_at)
select :portfolio, :kind, coalesce(n.ref, w.subject), n.id, n.borrower_id, w.detail::jsonb, :now, :due
from unnest(:loans::bigint[], :subjects::text[], :details::text[]) as w (loan_id, subject, detail)
left join loan n on n.portfolio_id = :portfolio and n.id = w.loan_id
on conflict (portfolio_id, kind, subject) where closed_at is null do nothing;

-- name: close_feed_case
-- The matter is settled by the act named in `by`.
update case_item set closed_at = :now, closed_by = :by
where portfolio_id = :portfolio and kind = :kind and subject = :subject and closed_at is null;

-- name: unacknowledged_page
-- What a pulling ledger has not acknowledged, loan by loan in order of number. The cursor is a place in
-- that order within one walk; what is committed behind it is met by the next walk, never lost. What
-- follows an outcome that is held back for its notice waits with it.
select o.portfolio_id, o.loan_id, o.seq, o.type, o.occurred_at, o.data, o.corrects, o.withheld_at,
       p.name as portfolio, n.ref as loan, n.zone
from outcome o
join loan n on n.portfolio_id = o.portfolio_id and n.id = o.loan_id
join portfolio p on p.id = o.portfolio_id
where o.portfolio_id = :portfolio and o.acked_at is null
  and (o.loan_id, o.seq) > (:after_loan::bigint, :after_seq::int)
  and not exists (select 1 from outcome h
                  where h.portfolio_id = o.portfolio_id and h.loan_id = o.loan_id and h.seq < o.seq
                    and h.held_by is not null and h.acked_at is null)
order by o.loan_id, o.seq
limit :page;

-- name: acknowledge_named
-- Acknowledged by a pulling ledger, by name; tells which were done already.
with named as (
    select o.loan_id, o.seq, o.acked_at is not null as already, o.stuck_reason is not null as stuck
    from unnest(:refs::text[], :seqs::int[]) as w (ref, seq)
    join loan n on n.portfolio_id = :portfolio and n.ref = w.ref
    join outcome o on o.portfolio_id = :portfolio and o.loan_id = n.id and o.seq = w.seq
    order by o.loan_id, o.seq
    for update of o
), done as (
    update outcome o set acked_at = :now, lease_until = null, stuck_reason = null
    from named m
    where o.portfolio_id = :portfolio and o.loan_id = m.loan_id and o.seq = m.seq and not m.already
)
select m.loan_id, n.ref, m.seq, m.already, m.stuck
from named m join loan n on n.portfolio_id = :portfolio and n.id = m.loan_id;

-- name: outcomes_of_next_loans
-- All outcomes, acknowledged or not, of the next loans by reference. A loan without any is one row
-- without a number, so that the caller knows how far the walk came.
with page as materialized (
    select portfolio_id, id, ref, zone from loan
    where (portfolio_id, ref) > (:after_portfolio::int, :after_ref::text)
      and (:loan::text is null or ref = :loan)
    order by portfolio_id, ref
    limit :page
)
select n.portfolio_id, n.ref as loan, n.zone, p.name as portfolio,
       o.seq, o.type, o.occurred_at, o.data, o.corrects, o.withheld_at
from page n
join portfolio p on p.id = n.portfolio_id
left join lateral (
    select seq, type, occurred_at, data, corrects, withheld_at from outcome
    where portfolio_id = n.portfolio_id and loan_id = n.id
) o on true
order by n.portfolio_id, n.ref, o.seq;

-- name: loans_by_ref
-- The loans that bear this reference, one a portfolio at most.
select n.portfolio_id, n.id, p.name as portfolio from loan n join portfolio p on p.id = n.portfolio_id
where n.ref = :ref order by n.portfolio_id;

-- name: reopen_outcomes
-- Staff have outcomes from a number on sent again, with the same ids.
update outcome set acked_at = null, next_try_at = 'infinity', tries = 0
where portfolio_id = :portfolio and loan_id = :loan and seq >= :from_seq::int and acked_at is not null;

-- name: unstick
-- Staff let a loan's feed go on at its first unacknowledged outcome. A lease that runs is left alone.
with open as (
    select seq, row_number() over (order by seq) as rank from outcome
    where portfolio_id = :portfolio and loan_id = :loan and acked_at is null
)
update outcome o
set stuck_reason = null, tries = 0, lease_until = null,
    next_try_at = case when w.rank = 1 then :now else 'infinity'::timestamptz end
from open w
where o.portfolio_id = :portfolio and o.loan_id = :loan and o.seq = w.seq and o.acked_at is null
  and (w.rank = 1 or o.stuck_reason is not null)
  and (o.lease_until is null or o.lease_until <= :now or o.stuck_reason is not null);

-- name: feed_backlog
-- How much the ledger has not acknowledged, how much of it waits for staff, and since when.
select count(*) as unacknowledged,
       count(*) filter (where stuck_reason is not null) as stuck,
       min(recorded_at) as oldest
from outcome where portfolio_id = :portfolio and acked_at is null;

-- name: notices_open
-- Notices that wait, by state and whether their time has come.
select state, next_at <= :now as due, count(*) as count
from notice
where portfolio_id = :portfolio and state in ('waiting', 'awaiting_receipt')
group by state, due;

-- name: attempts_open
-- Attempts whose fate is not known yet, by state.
select state, count(*) as count from attempt
where portfolio_id = :portfolio and settled_at is null
group by state;

-- name: cases_open
-- Work that waits for people, by kind.
select kind, count(*) as count from case_item
where portfolio_id = :portfolio and closed_at is null
group by kind;

-- name: writable
-- Whether this server takes writes: no standby, not switched to read-only.
select not pg_is_in_recovery() and not current_setting('transaction_read_only')::boolean;

-- name: portfolio_ids
-- Portfolios that outcomes can belong to.
select id, name from portfolio where id > 0 order by id;
