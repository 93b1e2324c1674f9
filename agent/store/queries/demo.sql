-- name: demo_claim
-- One demo at a time on a server; held by the session, so that it ends with it however that ends.
select pg_try_advisory_lock(:lock::bigint) as claimed;

-- name: demo_say
-- Where the demo's page is, for whoever else would like to run one here.
select set_config('application_name', :said, false);

-- name: demo_holder
-- Where the page of the demo is that runs here.
select a.application_name from pg_locks l
join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.classid = 0 and l.objid = (:lock::bigint)::oid
limit 1;

-- name: demo_neighbours
-- Whether this server holds anything besides demo databases.
select to_regclass('loan') is not null
       or exists (select from pg_database where not datistemplate
                  and datname not in ('postgres', current_database(), :demo)) as found;

-- name: demo_refusals
-- Answers of the gate against sending that were stored after a given one.
select d.id, d.decided_at, d.verdict, d.until_at, d.rules, d.stage, l.ref as loan, b.ref as borrower
from decision d
join loan l on l.portfolio_id = d.portfolio_id and l.id = d.loan_id
join borrower b on b.portfolio_id = l.portfolio_id and b.id = l.borrower_id
where d.id > :after and d.verdict <> 'send'
order by d.id;

-- name: demo_rules
-- How often each rule spoke against sending.
select rule, count(*) as count from decision, unnest(rules) as rule
where verdict <> 'send'
group by rule order by count(*) desc, rule;

-- name: demo_stages
-- How many notices of each stage stand where.
select stage, state, count(*) as count from notice group by stage, state;

-- name: demo_loans
-- How many loans stand in each bucket, and how many are over.
select status, bucket, contact_ended_at is not null as contact_ended, count(*) as count
from loan group by 1, 2, 3;

-- name: demo_attempts
-- What became of every message, and what it was about.
select a.token, a.state, a.code, a.stage, a.channel, a.begun_at, l.ref as loan
from attempt a
join loan l on l.portfolio_id = a.portfolio_id and l.id = a.loan_id;

-- name: demo_outcomes
-- The newest outcomes first.
select l.ref as loan, l.zone, o.seq, o.type, o.occurred_at, o.data, o.acked_at, o.tries
from outcome o
join loan l on l.portfolio_id = o.portfolio_id and l.id = o.loan_id
order by o.recorded_at desc, o.occurred_at desc, l.ref, o.seq desc
limit :count;

-- name: demo_outcome_totals
-- Outcomes by type: how many there are, and how many the ledger has acknowledged.
select type, count(*) as told, count(acked_at) as acked from outcome group by type order by count(*) desc, type;

-- name: demo_unfed
-- Outcomes that wait for the ledger, and when the first of them is due.
select count(*) as count, min(next_try_at) as next from outcome where acked_at is null;

-- name: demo_cases
-- Work for people that is open, by kind.
select kind, count(*) as count from case_item where closed_at is null group by kind order by kind;
