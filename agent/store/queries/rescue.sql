-- name: strand_begun
-- Attempts whose sender never recorded an answer: from the deadline on nothing leaves, so they are unknown.
update attempt set state = 'unknown', look_at = :look_at
where portfolio_id = :portfolio and settled_at is null and state = 'begun' and deadline_at <= :now;

-- name: unknown_due
-- Unsettled attempts whose time to be looked up has come; asking the provider takes no lock.
select a.token, a.loan_id, a.anchor, a.stage, a.borrower_id, a.contact_point_id, a.channel, a.address_key,
       a.fence, a.begun_at, a.deadline_at, a.body, a.clear_at, c.address, b.data_key,
       n.route, n.schedule_version as version, l.ref as loan
from attempt a
join contact_point c on c.portfolio_id = a.portfolio_id and c.id = a.contact_point_id
join borrower b on b.portfolio_id = a.portfolio_id and b.id = a.borrower_id
join loan l on l.portfolio_id = a.portfolio_id and l.id = a.loan_id
join notice n on n.portfolio_id = a.portfolio_id and n.loan_id = a.loan_id and n.anchor = a.anchor
             and n.stage = a.stage
where a.portfolio_id = :portfolio and a.settled_at is null and a.state = 'unknown' and a.look_at <= :now
order by a.look_at, a.token
limit :batch;

-- name: known_provider_ids
-- Which of these messages belong to an attempt already, of whatever portfolio: they may share a number.
select a.provider_id
from portfolio p
join attempt a on a.portfolio_id = p.id
where a.channel = :channel and a.provider_id = any(:ids::text[]);

-- name: rivals
-- Other portfolios' unsettled attempts to the same number, with their texts.
select a.token, a.body, b.data_key
from portfolio p
join attempt a on a.portfolio_id = p.id and a.channel = :channel and a.address_key = :address_key
              and a.settled_at is null
join borrower b on b.portfolio_id = a.portfolio_id and b.id = a.borrower_id
where a.token <> :token and b.data_key is not null
order by a.token;

-- name: mark_clear
-- A complete list did not show these: look again a horizon later, or later still.
update attempt a
set clear_at = coalesce(a.clear_at, w.clear_at), look_at = w.look_at
from unnest(:tokens::text[], :clears::timestamptz[], :looks::timestamptz[]) as w (token, clear_at, look_at)
where a.portfolio_id = :portfolio and a.token = w.token and a.settled_at is null;

-- name: sending_without_attempt
-- Notices in sending whose attempt is void or was never committed: handed back, guarded by fence. One
-- whose attempt may have reached somebody is never sent again.
update notice n set state = 'waiting', next_at = :now
where n.portfolio_id = :portfolio and n.state = 'sending' and n.next_at < :stale
  and not exists (select 1 from attempt a
                  where a.portfolio_id = n.portfolio_id and a.loan_id = n.loan_id
                    and a.anchor = n.anchor and a.stage = n.stage
                    and (a.settled_at is null
                         or (a.fence = n.fence and a.state not in ('refused', 'absent'))))
returning n.loan_id, n.anchor, n.stage;

-- name: archive_attempts
-- Settled attempts of the past move to the partitioned archive.
with moved as (
    delete from attempt
    where portfolio_id = :portfolio and begun_at < :before and settled_at < :before
    returning *
)
insert into attempt_archive select * from moved;
