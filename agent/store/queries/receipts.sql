-- name: apply_receipts
-- Join receipts into their attempts, all at once. A state only moves up its lattice, so it does not
-- matter in which order, how often or how late they come. Each is stored once by (message, status) with
-- what it did. Returned are attempts that moved while their notice was still open: it may have to move too.
with told as materialized (
    select w.ord, w.channel, w.provider_id, w.status, w.code, w.at, w.fault,
           coalesce(w.token, (select a.token from attempt a
                              where a.portfolio_id = :portfolio and a.channel = w.channel
                                and a.provider_id = w.provider_id limit 1)) as token,
           case w.status when 'queued' then 'accepted' else w.status end as state
    from unnest(:channels::text[], :providers::text[], :statuses::text[], :tokens::text[],
                :codes::text[], :ats::timestamptz[], :faults::text[])
         with ordinality as w (channel, provider_id, status, token, code, at, fault, ord)
), best as (
    select distinct on (token) token, state, provider_id, code, status
    from told where token is not null
    order by token, attempt_rank(state) desc, ord
), moved as (
    update attempt a
    set state = b.state, provider_id = coalesce(a.provider_id, b.provider_id),
        code = coalesce(b.code, a.code), settled_at = coalesce(a.settled_at, :now::timestamptz)
    from best b
    where a.portfolio_id = :portfolio and a.token = b.token
      and attempt_rank(b.state) > attempt_rank(a.state)
    returning a.token, a.state, a.loan_id, a.anchor, a.stage, a.fence, a.channel
), stored as (
    insert into receipt (portfolio_id, channel, provider_id, status, token, code, at, received_at, fault, effect)
    select :portfolio, t.channel, t.provider_id, t.status, t.token, t.code, t.at, :now, t.fault,
           case when t.state = m.state then 'moved'
                when a.state is null then 'unmatched'
                when attempt_rank(t.state) = 4 and attempt_rank(a.state) = 4 and t.state <> a.state
                    or attempt_rank(t.state) = 4 and attempt_rank(a.state) < 4 and t.state <> m.state
                    then 'contradiction'
                when attempt_rank(t.state) > attempt_rank(a.state) then 'moved'
                else 'behind' end
    from told t
    left join moved m on m.token = t.token
    -- what a receipt did is known without a look where it is the one that moved its attempt
    left join lateral (
        select a.state from attempt a
        where a.portfolio_id = :portfolio and a.token = t.token and t.state is distinct from m.state
        limit 1
    ) a on true
    on conflict do nothing
)
select m.token, m.state, m.loan_id, m.anchor, m.stage, m.fence, m.channel,
       n.state as notice_state, n.route, n.schedule_version as version
from moved m
-- one by its key, whatever the statistics say of a table that was empty a minute ago
cross join lateral (
    select n.state, n.route, n.schedule_version from notice n
    where n.portfolio_id = :portfolio and n.loan_id = m.loan_id and n.anchor = m.anchor
      and n.stage = m.stage and n.fence = m.fence and n.closed_at is null
    limit 1
) n
order by m.loan_id, m.anchor, m.stage;
