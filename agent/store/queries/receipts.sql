-- name: apply_receipts
-- Join receipts into their attempts, all at once; no two of them are about the same attempt or message. A
-- state only moves up its lattice, so it does not matter in which order, how often or how late they come.
-- Each is stored once by (message, status) with what it did; a notice that is still open moves as
-- `domain.delivery.after_receipt` says; how many did. One statement, so that it needs no transaction around it.
with told as materialized (
    select w.channel, w.provider_id, w.status, w.token, w.code, w.at, w.fault,
           case w.status when 'queued' then 'accepted' else w.status end as state
    from unnest(string_to_array(:channels, E'\x1f'), string_to_array(:providers, E'\x1f'),
                string_to_array(:statuses, E'\x1f'), string_to_array(:tokens, E'\x1f', ''),
                string_to_array(:codes, E'\x1f', ''), :ats::timestamptz[],
                string_to_array(:faults, E'\x1f', ''))
         as w (channel, provider_id, status, token, code, at, fault)
), moved as (
    update attempt a
    set state = t.state, provider_id = coalesce(a.provider_id, t.provider_id),
        code = coalesce(t.code, a.code), settled_at = coalesce(a.settled_at, :now::timestamptz)
    from told t
    where a.portfolio_id = :portfolio and a.token = t.token
      and attempt_rank(t.state) > attempt_rank(a.state)
    returning a.token, a.state, a.loan_id, a.anchor, a.stage, a.fence
), stored as (
    insert into receipt (portfolio_id, channel, provider_id, status, token, code, at, received_at, fault, effect)
    select :portfolio, t.channel, t.provider_id, t.status, t.token, t.code, t.at, :now, t.fault,
           case when m.token is not null then 'moved'
                when a.state is null then 'unmatched'
                when attempt_rank(t.state) = 4 and attempt_rank(a.state) = 4 and t.state <> a.state
                    then 'contradiction'
                else 'behind' end
    from told t
    left join moved m on m.token = t.token
    -- what a receipt did is known without a look where it moved its attempt
    left join lateral (
        select a.state from attempt a
        where a.portfolio_id = :portfolio and a.token = t.token and m.token is null
        limit 1
    ) a on true
    on conflict do nothing
), stepped as (
    update notice n
    set (state, next_at, route, closed_at) = (
        select s.state,
               case s.state when 'waiting' then :now::timestamptz
                            when 'awaiting_receipt' then :now::timestamptz + r.fallback
                            else n.next_at end,
               case when s.state = 'sent' then n.route else r.upcoming end,
               case when s.state = 'sent' then :now::timestamptz end
        from (select (:routes::smallint[])[k.place] as routes, (:fallbacks::interval[])[k.place] as fallback,
                     n.route + (n.state <> 'awaiting_receipt')::int as upcoming
              from (select array_position(:stages::text[], n.schedule_version || ' ' || n.stage) as place) k
             ) r
        cross join lateral (
            -- no state, which the table refuses, where the version is none of those that we were told of
            select case when n.schedule_version <> all(:versions::int[]) then null
                        when m.state = 'delivered' or r.upcoming >= coalesce(r.routes, 1) then 'sent'
                        when m.state in ('undelivered', 'failed') then 'waiting'
                        when r.fallback is null then 'sent'
                        else 'awaiting_receipt' end as state
        ) s)
    from (select * from moved order by loan_id, anchor, stage) m
    where n.portfolio_id = :portfolio and n.loan_id = m.loan_id and n.anchor = m.anchor
      and n.stage = m.stage and n.fence = m.fence and n.closed_at is null
      and not (n.state = 'awaiting_receipt' and m.state in ('accepted', 'sent'))
    returning 1
)
select count(*) from stepped;

-- name: schedule_sources
-- Every version of a portfolio's schedule.
select version, source from schedule_version where portfolio_id = :portfolio order by version;

-- name: tokens_of_messages
-- The attempts that got these ids of the provider.
select a.channel, a.provider_id, a.token from attempt a
where a.portfolio_id = :portfolio
  and (a.channel, a.provider_id) in (select * from unnest(:channels::text[], :providers::text[]));

-- name: take_unmatched
-- Receipts that found no attempt when they came, and would now: they are taken out and applied again.
delete from receipt r
using (select portfolio_id, channel, provider_id, status from receipt u
       where u.portfolio_id = :portfolio and u.effect = 'unmatched' and u.received_at > :since
         and exists (select 1 from attempt a
                     where a.portfolio_id = u.portfolio_id
                       and (a.token = u.token or u.token is null and a.channel = u.channel
                                                 and a.provider_id = u.provider_id))
       order by received_at limit :batch for update) u
where r.portfolio_id = u.portfolio_id and r.channel = u.channel and r.provider_id = u.provider_id
  and r.status = u.status
returning r.channel, r.provider_id, r.status, r.token, r.code, r.at, r.fault;
