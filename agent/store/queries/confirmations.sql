-- name: confirmations_lock
-- One at a time looks for opt-outs to answer: two messages of one number are never both the first.
select pg_advisory_xact_lock(hashtext('duly confirmations'));

-- name: opt_outs_unanswered
-- Opt-outs of which nobody decided yet whether they are answered, with what was answered to their number since
-- it was closed, and whether everything is paused.
select i.channel, i.provider_id, i.sender_key, i.sender, i.at, i.received_at, i.provider_reading,
       (select count(*) from confirmation c
        where c.portfolio_id = 0 and c.channel = i.channel and c.address_key = i.sender_key
          and c.state in ('begun', 'accepted', 'unknown')
          and c.decided_at >= coalesce((select min(s.stored_at) from suppression s
                                        where s.channel = i.channel and s.address_key = i.sender_key
                                          and s.lifted_at is null), c.decided_at)) as answered,
       exists (select 1 from pause p where p.resumed_at is null
                 and (p.scope = 'all' or (p.scope = 'channel' and p.subject = i.channel))) as paused
from inbound i
where i.portfolio_id = 0 and i.reading = 'opt_out' and i.received_at > :since
  and not exists (select 1 from confirmation c where c.portfolio_id = 0 and c.channel = i.channel
                    and c.provider_id = i.provider_id)
order by i.received_at, i.provider_id
limit :batch;

-- name: owners_of_numbers
-- Everybody who may be behind these numbers, in all portfolios, with what binds and what stops contact.
select w.channel, w.address_key, p.id as portfolio_id, b.id as borrower_id, b.region, b.zones, b.locale,
       p.packs, p.role, p.lender, c.provider, c.status,
       exists (select 1 from hold h where h.portfolio_id = p.id and h.borrower_id = b.id
                 and h.scope = 'person' and h.lifted_at is null and h.reason <> 'opt-out') as held,
       exists (select 1 from pause x where x.portfolio_id = p.id and x.resumed_at is null
                 and (x.scope = 'portfolio' or (x.scope = 'channel' and x.subject = w.channel))) as paused
from (select distinct * from unnest(:channels::text[], :keys::bytea[]) as u (channel, address_key)) w
join portfolio p on p.id > 0
cross join lateral (
    select c.borrower_id, c.provider, c.status from contact_point c
    where c.portfolio_id = p.id and c.channel = w.channel and c.address_key = w.address_key
) c
join borrower b on b.portfolio_id = p.id and b.id = c.borrower_id
order by p.id, b.id;

-- name: keep_confirmation
-- What was decided of an opt-out; a concurrent twin is left alone.
insert into confirmation (portfolio_id, channel, provider_id, address_key, decided_at, rules, packs, state,
                          token, body, deadline_at)
values (0, :channel, :provider_id, :key, :now, :rules, :packs, :state, :token, :body, :deadline)
on conflict do nothing
returning provider_id;

-- name: settle_confirmation
-- What became of an answer; one that is settled stays so.
update confirmation set state = :state, settled_at = :now, sent_as = :sent_as
where portfolio_id = 0 and token = :token and state = 'begun';

-- name: strand_confirmations
-- Answers of processes that ended: nobody knows whether they went out, so they count as sent.
update confirmation set state = 'unknown', settled_at = :now
where portfolio_id = 0 and state = 'begun' and deadline_at < :before;

-- name: hold_opted_out
-- What an opt-out closes beyond its number, by the law of the place: the channel, the loans or the person.
with asked as (
    select distinct * from unnest(:portfolios::int[], :borrowers::bigint[], :scopes::text[], :channels::text[])
        as w (portfolio_id, borrower_id, scope, channel)
), locked as materialized (
    select b.portfolio_id, b.id from borrower b
    where (b.portfolio_id, b.id) in (select portfolio_id, borrower_id from asked)
    order by b.portfolio_id, b.id for update
), raised as (
    update borrower b set rev = b.rev + 1 from locked l
    where b.portfolio_id = l.portfolio_id and b.id = l.id
    returning b.portfolio_id, b.id, b.rev
), closed as (
    select r.portfolio_id, r.id as borrower_id, r.rev, a.scope, null::bigint as loan_id,
           case when a.scope = 'channel' then a.channel end as channel
    from raised r join asked a on a.portfolio_id = r.portfolio_id and a.borrower_id = r.id
    where a.scope in ('person', 'channel')
    union all
    select r.portfolio_id, r.id, r.rev, a.scope, l.id, null
    from raised r join asked a on a.portfolio_id = r.portfolio_id and a.borrower_id = r.id and a.scope = 'loan'
    join loan l on l.portfolio_id = r.portfolio_id and l.borrower_id = r.id
)
insert into hold (portfolio_id, reason, scope, borrower_id, loan_id, channel, from_at, placed_by, placed_rev)
select c.portfolio_id, 'opt-out', c.scope, c.borrower_id, c.loan_id, c.channel, :now, 'duly', c.rev
from closed c
where not exists (select 1 from hold h where h.portfolio_id = c.portfolio_id and h.borrower_id = c.borrower_id
                    and h.reason = 'opt-out' and h.scope = c.scope and h.lifted_at is null
                    and h.loan_id is not distinct from c.loan_id and h.channel is not distinct from c.channel);
