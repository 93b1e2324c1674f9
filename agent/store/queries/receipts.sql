-- name: attempts_of_receipts
-- The attempts that receipts speak of, by token or by the provider's id, locked in order.
select a.token, a.channel, a.provider_id, a.state, a.loan_id, a.anchor, a.stage, a.fence
from attempt a
where a.portfolio_id = :portfolio
  and (a.token = any(:tokens::text[])
       or (a.channel = any(:channels::text[]) and a.provider_id = any(:providers::text[])))
order by a.token
for update;

-- name: insert_receipts
-- Each receipt once by (message, status), with what it did.
insert into receipt (portfolio_id, channel, provider_id, status, token, code, at, received_at, effect)
select :portfolio, w.channel, w.provider_id, w.status, w.token, w.code, w.at, :now, w.effect
from unnest(:channels::text[], :providers::text[], :statuses::text[], :tokens::text[], :codes::text[],
            :ats::timestamptz[], :effects::text[])
     as w (channel, provider_id, status, token, code, at, effect)
on conflict do nothing;

-- name: raise_attempts
-- Attempts that receipts moved up the lattice.
update attempt a
set state = w.state, provider_id = coalesce(a.provider_id, w.provider_id),
    code = coalesce(w.code, a.code), settled_at = coalesce(a.settled_at, :now::timestamptz)
from unnest(:tokens::text[], :states::text[], :providers::text[], :codes::text[])
     as w (token, state, provider_id, code)
where a.portfolio_id = :portfolio and a.token = w.token;

-- name: notices_of_attempts
-- The open notices behind these attempts.
select n.loan_id, n.anchor, n.stage, n.state, n.fence, n.route, n.schedule_version, n.borrower_id
from notice n
join unnest(:loans::bigint[], :anchors::date[], :stages::text[]) as w (loan_id, anchor, stage)
  on n.loan_id = w.loan_id and n.anchor = w.anchor and n.stage = w.stage
where n.portfolio_id = :portfolio and n.closed_at is null
order by n.loan_id, n.anchor, n.stage
for update of n;
