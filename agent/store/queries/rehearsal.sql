-- name: rehearsal_tables
-- Temporary twins of all that intake writes: in this session their names stand for the real ones.
do $$
declare
    name text;
begin
    foreach name in array array[
        'portfolio', 'schedule_version', 'borrower', 'number', 'contact_point', 'loan', 'instalment',
        'payment', 'ledger_event', 'rejected_line', 'hold', 'notice', 'decision', 'outcome'
    ] loop
        execute format('create temporary table %I (like public.%I including all)', name, name);
    end loop;
    -- far above what the real sequences have given out
    foreach name in array array['borrower_seq', 'contact_point_seq', 'loan_seq', 'intake_step_seq'] loop
        execute format('create temporary sequence %I start 1000000000000000', name);
    end loop;
    -- keys made here begin after those that are copied
    perform setval(pg_get_serial_sequence('pg_temp.portfolio', 'id'), 1000000000);
    perform setval(pg_get_serial_sequence('pg_temp.hold', 'id'), 1000000000000000);
end $$;

-- name: rehearsal_read_only
-- From here on the server itself refuses every write to a table that is not temporary.
set session characteristics as transaction read only;

-- name: rehearse_portfolios
-- All portfolios as they are.
insert into portfolio overriding system value select * from public.portfolio on conflict do nothing;

-- name: rehearse_schedules
-- Their schedules.
insert into schedule_version select * from public.schedule_version on conflict do nothing;

-- name: rehearsal_people
-- Whom a batch is about: people it names, and the owners of loans it names. Those that are here
-- already stay as the batches before have left them.
(
    select portfolio_id, id from public.borrower where ref = any(:refs::text[])
    union
    select portfolio_id, borrower_id from public.loan where ref = any(:refs::text[])
)
except
select portfolio_id, id from borrower;

-- name: rehearse_people
-- Copies of these people.
insert into borrower
select b.* from public.borrower b
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on b.portfolio_id = w.portfolio_id and b.id = w.id
on conflict do nothing;

-- name: rehearse_numbers
-- Their numbers.
insert into number
select n.* from public.number n
where (n.portfolio_id, n.channel, n.address_key) in (
    select c.portfolio_id, c.channel, c.address_key from public.contact_point c
    join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
      on c.portfolio_id = w.portfolio_id and c.borrower_id = w.id
)
on conflict do nothing;

-- name: rehearse_points
-- Their contact points.
insert into contact_point
select c.* from public.contact_point c
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on c.portfolio_id = w.portfolio_id and c.borrower_id = w.id
on conflict do nothing;

-- name: rehearse_holds
-- Their holds.
insert into hold overriding system value
select h.* from public.hold h
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on h.portfolio_id = w.portfolio_id and h.borrower_id = w.id
on conflict do nothing;

-- name: rehearse_loans
-- Their loans.
insert into loan
select l.* from public.loan l
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on l.portfolio_id = w.portfolio_id and l.borrower_id = w.id
on conflict do nothing;

-- name: rehearse_instalments
-- The instalments of these people's loans.
insert into instalment
select i.* from public.instalment i
join public.loan l on l.portfolio_id = i.portfolio_id and l.id = i.loan_id
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on l.portfolio_id = w.portfolio_id and l.borrower_id = w.id
on conflict do nothing;

-- name: rehearse_payments
-- Their payments.
insert into payment
select p.* from public.payment p
join public.loan l on l.portfolio_id = p.portfolio_id and l.id = p.loan_id
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on l.portfolio_id = w.portfolio_id and l.borrower_id = w.id
on conflict do nothing;

-- name: rehearse_outcomes
-- What the ledger was told of them.
insert into outcome
select o.* from public.outcome o
join public.loan l on l.portfolio_id = o.portfolio_id and l.id = o.loan_id
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on l.portfolio_id = w.portfolio_id and l.borrower_id = w.id
on conflict do nothing;

-- name: rehearse_events
-- Events of a batch that are stored already, and those that wait for one of its loans or people.
insert into ledger_event
select e.* from public.ledger_event e
join (select id from public.portfolio) p on e.portfolio_id = p.id
where e.id = any(:events::text[])
on conflict do nothing;

-- name: rehearse_parked
-- Events that wait for what this batch may bring.
insert into ledger_event
select e.* from public.ledger_event e
where e.subject = any(:refs::text[]) and e.state = 'rejected'
  and e.reason in ('unknown-loan', 'unknown-payment', 'unknown-borrower')
on conflict do nothing;
