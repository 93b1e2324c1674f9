-- name: replay_messages
-- Everything that left, in order of time, with what it takes to read it again. One instant may have two
-- decisions to send: of a channel that refuses at once, and of the next one.
select p.id as portfolio_id, p.name as portfolio, l.ref as loan, b.ref as borrower, b.data_key,
       coalesce(d.zone, l.zone) as zone,
       a.token, a.stage, a.channel, a.begun_at, a.anchor, a.amount_minor, a.currency, a.body, a.state
from attempt a
join portfolio p on p.id = a.portfolio_id
join loan l on l.portfolio_id = a.portfolio_id and l.id = a.loan_id
join borrower b on b.portfolio_id = a.portfolio_id and b.id = a.borrower_id
left join (
    select portfolio_id, loan_id, anchor, stage, decided_at, min(zone) as zone from decision
    where verdict = 'send'
    group by portfolio_id, loan_id, anchor, stage, decided_at
) d on d.portfolio_id = a.portfolio_id and d.loan_id = a.loan_id and d.anchor = a.anchor
   and d.stage = a.stage and d.decided_at = a.begun_at
where a.state not in ('refused', 'absent')
order by a.begun_at, p.name, l.ref, a.anchor, a.stage, a.channel;

-- name: replay_decisions
-- Every answer of the gate, in order of time.
select p.name as portfolio, l.ref as loan, d.zone, d.stage, d.anchor, n.due_at, d.decided_at, d.verdict,
       d.until_at, d.rules
from decision d
join portfolio p on p.id = d.portfolio_id
join loan l on l.portfolio_id = d.portfolio_id and l.id = d.loan_id
join notice n on n.portfolio_id = d.portfolio_id and n.loan_id = d.loan_id and n.anchor = d.anchor
             and n.stage = d.stage
order by d.decided_at, p.name, l.ref, d.anchor, d.stage, d.id;

-- name: replay_outcomes
-- Everything the ledger was told, in order of time; per loan that is the order of its numbers.
select p.name as portfolio, l.ref as loan, l.zone, o.seq, o.type, o.occurred_at, o.data, o.corrects
from outcome o
join portfolio p on p.id = o.portfolio_id
join loan l on l.portfolio_id = o.portfolio_id and l.id = o.loan_id
order by o.occurred_at, p.name, l.ref, o.seq;

-- name: replay_openings
-- When each loan began, local date.
select l.ref as loan, l.opened_at, l.zone from loan l order by l.ref;

-- name: last_anchor
-- The latest anchor of a loan that can still bring a notice: what bounds the future.
select max(anchor) from loan where status = 'open' and contact_ended_at is null;

-- name: next_instants
-- When the next notice, unsettled attempt, end of a hold and new bucket want to be looked at; and whether
-- any loan is held.
select (select min(n.next_at) from portfolio p
        cross join lateral (select next_at from notice
                            where portfolio_id = p.id and state in ('waiting', 'awaiting_receipt')
                            order by next_at limit 1) n) as due,
       (select min(look_at) from attempt where settled_at is null) as look,
       (select min(until_at) from hold where lifted_at is null and until_at is not null) as hold_end,
       (select min(next_bucket_at) from loan where next_bucket_at is not null) as bucket,
       exists (select 1 from loan where held_until is not null and status = 'open'
                                    and contact_ended_at is null) as held;

-- name: portfolio_names
-- What the portfolios are called.
select id, name from portfolio where id > 0 order by id;

-- name: replay_counts
-- How many people a run was about.
select count(*) as borrowers from borrower;

-- name: simulated_attempts
-- Every attempt, and whether we hold it proven that the phone's network took it.
with tried as (
    select portfolio_id, loan_id, anchor, stage, channel, token, state from attempt
    union all
    select portfolio_id, loan_id, anchor, stage, channel, token, state from attempt_archive
)
select l.ref, t.stage, t.anchor, t.channel, t.token, t.state,
       t.state in ('accepted', 'sent', 'delivered', 'undelivered', 'failed') as proven
from tried t join loan l on l.portfolio_id = t.portfolio_id and l.id = t.loan_id
order by l.ref, t.anchor, t.stage, t.token;
