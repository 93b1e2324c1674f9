-- name: sender_state
-- How long a sender's line is, and whether its provider asked for patience.
select busy_until, not_before from sender_pace
where portfolio_id = 0 and channel = :channel and sender = :sender;

-- name: open_halts
-- Countries for which a sender is out of order, and when it may be tried again.
select country, probe_at from sender_halt
where portfolio_id = 0 and channel = :channel and sender = :sender and closed_at is null;

-- name: claim_probe
-- One worker tries whether a halted route works again; the others wait for what comes of it.
update sender_halt set probe_at = :again, strikes = least(strikes + 1, 10)
where portfolio_id = 0 and channel = :channel and sender = :sender and country = :country
  and closed_at is null and probe_at <= :now
returning id;

-- name: reserve_line
-- Parts take their place in the sender's line; returned is when the first of them may go.
insert into sender_pace as p (portfolio_id, channel, sender, busy_until, not_before)
values (0, :channel, :sender, :now::timestamptz + :took::interval, 'epoch')
on conflict (portfolio_id, channel, sender)
do update set busy_until = greatest(p.busy_until, :now, p.not_before) + :took
returning busy_until - :took as begins;

-- name: back_off
-- The provider said too many: nobody sends before. Without a time of its own, twice as long every time.
insert into sender_pace as p (portfolio_id, channel, sender, busy_until, not_before, strikes)
values (0, :channel, :sender, :now, :now::timestamptz + coalesce(:asked::interval, interval '1 second'), 1)
on conflict (portfolio_id, channel, sender)
do update set not_before = greatest(p.not_before, :now + coalesce(:asked, least(power(2, p.strikes), 300)
                                                                  * interval '1 second')),
              strikes = least(p.strikes + 1, 10);

-- name: pace_well
-- A message got through: the next time it is too many counts as the first again.
update sender_pace set strikes = 0
where portfolio_id = 0 and channel = :channel and sender = :sender and strikes > 0 and not_before <= :now;

-- name: open_halt
-- Stop a sender for a country, or for all of them; returned only when it was not stopped yet.
insert into sender_halt (portfolio_id, channel, sender, country, code, halted_at, probe_at)
values (0, :channel, :sender, :country, :code, :now, :probe)
on conflict do nothing
returning id;

-- name: close_halts
-- A message that was begun after the halt got through: the route works again.
update sender_halt set closed_at = :now, closed_by = 'probe'
where portfolio_id = 0 and channel = :channel and sender = :sender and closed_at is null
  and country = any(:countries::text[]) and halted_at < :before;
