-- name: claim_due
-- Up to N notices whose time has come, locked; others skip them.
select loan_id, anchor, stage, borrower_id, schedule_version as version, due_at, not_after, state, route,
       fence, strandings
from notice
where portfolio_id = :portfolio and state in ('waiting', 'awaiting_receipt') and next_at <= :now
order by next_at, loan_id, anchor, stage
limit :batch
for update skip locked;

-- name: lock_for_begin
-- Lock the people of a batch and raise their rev, and read what the gate needs of them. After
-- `portfolio_shared` nothing but an index is walked, and only one index begins with the portfolio: hence
-- they are locked in the order of their ids.
update borrower b set rev = b.rev + 1
where b.portfolio_id = :portfolio and b.id = any(:ids::bigint[])
returning b.id, b.ref, b.rev, b.locale, b.zones, b.data_key, b.region;

-- name: points_for_gate
-- The contact points of these people, who are locked by now: nobody gets or loses one meanwhile.
select c.id, c.borrower_id, c.channel, c.provider, c.address, c.address_key, c.status,
       c.consent_source is not null as consented, nullif(c.told_at, '-infinity') as told_at
from contact_point c
where c.portfolio_id = :portfolio and c.borrower_id = any(:ids::bigint[]);

-- name: lock_numbers
-- Lock numbers of one channel and raise their rev. The table has one index, and after `portfolio_shared`
-- nothing but an index is walked: hence they are locked in the order of their keys. What is known of them
-- is read by a statement of its own: this one saw the world before it had the locks.
update number n set rev = n.rev + 1
where n.portfolio_id = :portfolio and n.channel = :channel and n.address_key = any(:keys::bytea[])
returning n.address_key, n.rev;

-- name: numbers_against
-- What speaks against these numbers, which are locked by now: opt-outs, holds, and unsettled attempts, of
-- which each has one at most. Few have any.
select s.channel, s.address_key, 'opted-out' as what, null::timestamptz as since
from suppression s
where s.portfolio_id = :portfolio and s.channel = any(:channels::text[])
  and s.address_key = any(:keys::bytea[]) and s.lifted_at is null
union all
select h.channel, h.address_key, 'held', null
from hold h
where h.portfolio_id = :portfolio and h.scope = 'number' and h.channel = any(:channels::text[])
  and h.address_key = any(:keys::bytea[]) and h.lifted_at is null
  and h.from_at <= :now and (h.until_at is null or h.until_at > :now)
union all
select w.channel, w.address_key, 'busy', a.begun_at
from unnest(:channels::text[], :keys::bytea[]) as w (channel, address_key)
cross join lateral (
    -- one by one: the index of another question about open attempts would be walked from end to end
    select a.begun_at from attempt a
    where a.portfolio_id = :portfolio and a.channel = w.channel and a.address_key = w.address_key
      and a.settled_at is null
    limit 1
) a;

-- name: portfolio_shared
-- Kill switches: the portfolio's row is held FOR SHARE, so that a pause comes before or after a begin.
-- Sharers of a row pass by whoever waits to write it, and busy workers could keep a pause waiting for
-- ever; the advisory lock before it is handed out in turn.
-- What this transaction asks afterwards is about the rows of one batch. A plan that reads a whole table for
-- them, because the table was small when the plan was made, would be kept while it grows: only by index.
with turn as materialized (
    select pg_advisory_xact_lock_shared(hashtext('portfolio'), :portfolio::int) as taken,
           set_config('enable_seqscan', 'off', true) as rows_by_index,
           set_config('enable_bitmapscan', 'off', true) as in_its_order,
           set_config('enable_mergejoin', 'off', true) as and_by_key
)
select p.rev, p.texts from turn cross join portfolio p where p.id = :portfolio for share of p;

-- name: loans_for_gate
-- The facts of the loans in a batch.
select l.id, l.ref, l.currency, l.zone, l.status, l.anchor, l.contact_ended_at is not null as contact_ended,
       l.paid_minor
from loan l
where l.portfolio_id = :portfolio and l.id = any(:ids::bigint[]);

-- name: parts_for_gate
-- When which part of these loans is due, instalments and fees.
select i.loan_id, i.due_on, i.amount_minor
from instalment i
where i.portfolio_id = :portfolio and i.loan_id = any(:ids::bigint[]);

-- name: contacts_of
-- When these people were contacted: every attempt that was not void, in order.
select borrower_id, loan_id, anchor, stage, channel, begun_at as at
from attempt
where portfolio_id = :portfolio and borrower_id = any(:ids::bigint[]) and begun_at > :since
  and state not in ('refused', 'absent')
order by begun_at;

-- name: already_delivered
-- Which of these notices have reached their person by an attempt before: its receipt came when the next one
-- was under way already, and that one came to nothing.
select distinct a.loan_id, a.anchor, a.stage
from unnest(:borrowers::bigint[], :loans::bigint[], :anchors::date[], :stages::text[])
     as w (borrower_id, loan_id, anchor, stage)
join attempt a on a.portfolio_id = :portfolio and a.borrower_id = w.borrower_id and a.loan_id = w.loan_id
              and a.anchor = w.anchor and a.stage = w.stage
where a.state = 'delivered';

-- name: what_stands_against
-- Holds in force that cover these people or their loans; and, with no borrower, what is paused now,
-- everywhere or in this portfolio: by scope and subject.
select borrower_id, loan_id, scope, channel as subject, reason, until_at, from_at
from hold
where portfolio_id = :portfolio and borrower_id = any(:ids::bigint[]) and lifted_at is null
  and scope <> 'number' and from_at <= :now and (until_at is null or until_at > :now)
union all
select null, null, scope, subject, reason, null, paused_at
from pause
where portfolio_id in (0, :portfolio) and resumed_at is null;

-- name: notices_sending
-- These notices are being sent; how many were. One with another fence is somebody else's. What most of a
-- batch share is told once and taken by place. That the portfolio is joined too leaves the planner nothing
-- but a look for each by its whole key.
with w as materialized (
    select :portfolio::int as portfolio_id, w.loan_id, (:anchors::date[])[w.step] as anchor, (:stages::text[])[w.step] as stage,
           (:fences::int[])[w.step] as fence, (:routes::smallint[])[w.step] as route
    from unnest(:loans::bigint[], :steps::int[]) as w (loan_id, step)
), sending as (
    update notice n set state = 'sending', fence = w.fence, route = w.route, next_at = :deadline
    from w
    where n.portfolio_id = w.portfolio_id and n.loan_id = w.loan_id and n.anchor = w.anchor
      and n.stage = w.stage and n.fence = w.fence - 1 and n.closed_at is null
    returning 1
)
select count(*) from sending;

-- name: move_notices
-- Notices after a decision or a receipt; a stale fence changes nothing.
with w as materialized (
    select :portfolio::int as portfolio_id, w.*
    from unnest(:loans::bigint[], :anchors::date[], :stages::text[], :fences::int[], :states::text[],
                :nexts::timestamptz[], :routes::smallint[], :reasons::text[])
         as w (loan_id, anchor, stage, fence, state, next_at, route, reason)
)
update notice n
set state = w.state, next_at = coalesce(w.next_at, n.next_at), route = w.route, reason = w.reason,
    closed_at = case when w.state in ('waiting', 'sending', 'awaiting_receipt') then null
                     else :now::timestamptz end
from w
where n.portfolio_id = w.portfolio_id and n.loan_id = w.loan_id and n.anchor = w.anchor
  and n.stage = w.stage and n.fence = w.fence and n.closed_at is null
returning n.loan_id, n.anchor, n.stage;

-- name: settle_attempts
-- Record answers, guarded by token, fence and state: zero rows is normal, a receipt came first. Only an
-- attempt that was settled here moves its notice, unless it is to stay as it is (no state named). Of a
-- notice that was stranded before comes which one it is and how often, of all others only the token.
with w as materialized (
    -- told apart by place, not joined: the planner would misjudge how many there are
    select w.token, w.fence, w.provider_id, (:states::text[])[w.ending] as state,
           (:codes::text[])[w.ending] as code, (:looks::timestamptz[])[w.ending] as look_at,
           (:notice_states::text[])[w.ending] as notice_state,
           (:nexts::timestamptz[])[w.ending] as next_at, (:routes::smallint[])[w.ending] as route,
           (:reasons::text[])[w.ending] as reason, (:stranded::smallint[])[w.ending] as stranded
    from unnest(:tokens::text[], :fences::int[], :providers::text[], :endings::int[])
         as w (token, fence, provider_id, ending)
), settled as (
    update attempt a
    set state = w.state, provider_id = coalesce(w.provider_id, a.provider_id), code = w.code,
        settled_at = case when w.state = 'unknown' then null else :now::timestamptz end,
        look_at = coalesce(w.look_at, a.look_at)
    from w
    where a.portfolio_id = :portfolio and a.token = w.token and a.fence = w.fence
      and a.settled_at is null
    returning a.token, a.loan_id, a.anchor, a.stage, a.fence, w.notice_state, w.next_at, w.route, w.reason,
              w.stranded
), moved as (
    update notice n
    set state = s.notice_state, next_at = coalesce(s.next_at, n.next_at), route = s.route,
        reason = s.reason, strandings = n.strandings + s.stranded,
        closed_at = case when s.notice_state in ('waiting', 'sending', 'awaiting_receipt') then null
                         else :now::timestamptz end
    from settled s
    where n.portfolio_id = :portfolio and n.loan_id = s.loan_id and n.anchor = s.anchor
      and n.stage = s.stage and n.fence = s.fence and n.closed_at is null
      and s.notice_state is not null
    returning s.token, s.loan_id, s.anchor, s.stage, s.fence, s.route, n.strandings, n.borrower_id
), stranded as materialized (
    -- few or none: all that moved joined with all that settled would be compared each with each
    select * from moved where strandings > 0
)
select s.token, t.loan_id, t.anchor, t.stage, t.fence, t.route, t.strandings, t.borrower_id
from settled s
left join stranded t using (token);

-- name: begun_tokens
-- Which of these attempts were committed: an uncertain COMMIT is read back by token.
select token from attempt where portfolio_id = :portfolio and token = any(:tokens::text[]);

-- name: suppress
-- A refusal that says "opted out" binds the number, in the transaction that records it.
with locked as materialized (
    select n.channel, n.address_key from number n
    where n.portfolio_id = :portfolio
      and (n.channel, n.address_key) in (select * from unnest(:channels::text[], :keys::bytea[]))
    order by n.channel, n.address_key
    for update
), raised as (
    update number n set rev = n.rev + 1
    from locked l
    where n.portfolio_id = :portfolio and n.channel = l.channel and n.address_key = l.address_key
    returning n.channel, n.address_key, n.rev
)
insert into suppression (portfolio_id, channel, address_key, reason, stored_at, number_rev)
select :portfolio, r.channel, r.address_key, :reason, :now, r.rev from raised r
where not exists (select 1 from suppression s
                  where s.portfolio_id = :portfolio and s.channel = r.channel
                    and s.address_key = r.address_key and s.lifted_at is null);

-- name: point_status
-- A permanent refusal marks the contact point, so that nothing goes there again.
update contact_point set status = :status
where portfolio_id = :portfolio and id = any(:ids::bigint[]) and status = 'active';

-- name: open_cases
-- Work for a person; a second case about the same thing is not opened.
insert into case_item (portfolio_id, kind, subject, loan_id, borrower_id, detail, opened_at, due_at)
select :portfolio, w.kind, w.subject, w.loan_id, w.borrower_id, w.detail::jsonb, :now,
       :now::timestamptz + interval '1 day'
from unnest(:kinds::text[], :subjects::text[], :loans::bigint[], :borrowers::bigint[],
            :details::text[]) as w (kind, subject, loan_id, borrower_id, detail)
on conflict do nothing;

-- name: due_portfolios
-- Lanes with work: portfolios that have a notice due.
select p.id from portfolio p
where p.id > 0 and exists (
    select 1 from notice n where n.portfolio_id = p.id
      and n.state in ('waiting', 'awaiting_receipt') and n.next_at <= :now)
order by p.id;

-- name: schedule_source
-- The text of one version of a portfolio's schedule.
select source from schedule_version where portfolio_id = :portfolio and version = :version;
