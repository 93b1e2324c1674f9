-- name: sender_state
-- How long a sender's line is, whether its provider asked for patience, and the pace that staff have set;
-- how many other portfolios wait for a place in it, and how many of them since longer than this one.
select p.busy_until, p.not_before, p.part_takes, t.others, t.ahead, nullif(m.asked_at, 'epoch') as asked
from (select 1) as one
left join sender_pace p on p.portfolio_id = 0 and p.channel = :channel and p.sender = :sender
left join sender_turn m on m.portfolio_id = :lane::int and m.channel = :channel and m.sender = :sender
cross join lateral (
    select count(*) as others,
           count(*) filter (where (o.took_at, o.portfolio_id) < (coalesce(m.took_at, 'epoch'), :lane)) as ahead
    from sender_turn o
    where o.channel = :channel and o.sender = :sender and o.portfolio_id <> :lane and o.asked_at > :since
) t;

-- name: note_turn
-- A portfolio took places in a sender's line, or asks for more of them than it got.
insert into sender_turn as t (portfolio_id, channel, sender, asked_at, took_at)
values (:lane, :channel, :sender, :asked, :took)
on conflict (portfolio_id, channel, sender)
do update set asked_at = :asked, took_at = greatest(t.took_at, :took);

-- name: open_halts
-- Countries for which a sender is out of order, when it may be tried again, and what became of the last try.
select h.country, h.probe_at, h.proof, a.state as tried
from sender_halt h
left join attempt a on a.portfolio_id = h.probe_lane and a.token = h.probe_token
where h.portfolio_id = 0 and h.channel = :channel and h.sender = :sender and h.closed_at is null;

-- name: claim_probe
-- One worker tries whether a halted route works again; the others wait for what comes of it. Each try that
-- fails doubles the wait for the next one.
update sender_halt
set probe_at = :now + least(:first::interval * power(2, strikes), greatest(:first, interval '1 hour')),
    strikes = least(strikes + 1, 10)
where portfolio_id = 0 and channel = :channel and sender = :sender and country = :country
  and closed_at is null and probe_at <= :now
returning probe_at;

-- name: note_probe
-- Which attempt tries it: a breaker that a receipt opened waits for the receipt of this one.
update sender_halt set probe_lane = :lane, probe_token = :token
where portfolio_id = 0 and channel = :channel and sender = :sender and country = :country
  and closed_at is null;

-- name: sender_news
-- What was decided of a sender while messages wait for their place in its line.
select p.not_before, h.country, h.halted_at
from (select 1) as one
left join sender_pace p on p.portfolio_id = 0 and p.channel = :channel and p.sender = :sender
left join sender_halt h on h.portfolio_id = 0 and h.channel = :channel and h.sender = :sender
    and h.closed_at is null;

-- name: reserve_line
-- Messages of so many parts take their places in the sender's line; returned is when the first of them may go, and
-- how much of the line each fills.
insert into sender_pace as p (portfolio_id, channel, sender, busy_until, not_before)
select 0, :channel, :sender, :now::timestamptz + sum(sender_takes(u.parts, :part_takes::interval)), 'epoch'
from unnest(:sizes::int[]) as u (parts)
on conflict (portfolio_id, channel, sender)
do update set busy_until = greatest(p.busy_until, :now, p.not_before) + (
    select sum(sender_takes(u.parts, coalesce(p.part_takes, :part_takes))) from unnest(:sizes) as u (parts))
returning busy_until - (
        select sum(sender_takes(u.parts, coalesce(part_takes, :part_takes))) from unnest(:sizes) as u (parts)
    ) as begins,
    array(select sender_takes(u.parts, coalesce(part_takes, :part_takes))
          from unnest(:sizes) with ordinality as u (parts, place) order by u.place) as takes;

-- name: take_leave
-- A message of so many parts leaves now, if no second then holds more parts than the sender's pace and a twentieth,
-- whoever sends them. What was taken stays taken, whatever becomes of the message.
update sender_pace p
set left_at = array(select u.at from unnest(p.left_at) with ordinality as u (at, place)
                    where u.at > :now::timestamptz - :span::interval order by u.place)
              || array_fill(:now::timestamptz, array[:parts::int])
where portfolio_id = 0 and channel = :channel and sender = :sender
  and (select count(*) = 0 or count(*) + :parts::int <= sender_parts(coalesce(p.part_takes, :part_takes::interval))
       from unnest(p.left_at) as u (at) where u.at > :now::timestamptz - :span::interval)
returning true;

-- name: leave_after
-- When there will be room for so many parts, as things stand; nothing for a sender that has no line.
select coalesce(w.kept[least(cardinality(w.kept), cardinality(w.kept) + :parts::int - w.most)] + :span::interval,
                :now::timestamptz) as at
from (
    select sender_parts(coalesce(p.part_takes, :part_takes::interval)) as most,
           array(select u.at from unnest(p.left_at) with ordinality as u (at, place)
                 where u.at > :now::timestamptz - :span::interval order by u.place) as kept
    from sender_pace p where p.portfolio_id = 0 and p.channel = :channel and p.sender = :sender
) w;

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
-- Stop a sender for a country, or for all of them; returned only when it was not stopped yet. What a message
-- says that was begun before the route was last closed is no news.
insert into sender_halt (portfolio_id, channel, sender, country, code, halted_at, probe_at, proof, reason, opened_by)
select 0, :channel, :sender, :country, :code, :now, :probe, :proof, :reason, :by
where not exists (
    select 1 from sender_halt h
    where h.portfolio_id = 0 and h.channel = :channel and h.sender = :sender and h.country = :country
      and h.closed_at > :begun)
on conflict do nothing
returning id;

-- name: close_halts
-- A message that was begun after the halt got through: the route works again.
update sender_halt set closed_at = :now, closed_by = :by
where portfolio_id = 0 and channel = :channel and sender = :sender and closed_at is null
  and country = any(:countries::text[]) and halted_at < :before and proof = any(:proofs::text[]);

-- name: close_halt_cases
-- Staff closed the breaker of a sender, in one country or wherever it was open: what its case asked for was done.
update case_item c set closed_at = :now, closed_by = :by, detail = c.detail || jsonb_build_object('reason', :reason::text)
where c.portfolio_id in (select id from portfolio) and c.kind = 'sender-halted' and c.closed_at is null
  and case when :place::text is null then starts_with(c.subject, :route::text || ' ')
           else c.subject = :route || ' ' || :place end;

-- name: hold_halts
-- Staff stop a sender that is out of order already: no message tries it until they say so.
update sender_halt set probe_at = null, proof = 'staff', reason = :reason, opened_by = :by
where portfolio_id = 0 and channel = :channel and sender = :sender and country = :country
  and closed_at is null and proof <> 'staff';

-- name: try_halt
-- Staff let one message try a halted route now.
update sender_halt
set probe_at = :now, strikes = 0, proof = case proof when 'staff' then 'answer' else proof end
where portfolio_id = 0 and channel = :channel and sender = :sender and country = :country
  and closed_at is null and (probe_at is null or probe_at > :now);

-- name: set_pace
-- Staff set a sender's pace; null gives it back to the settings.
insert into sender_pace as p (portfolio_id, channel, sender, busy_until, not_before, part_takes)
values (0, :channel, :sender, :now, 'epoch', :part_takes)
on conflict (portfolio_id, channel, sender) do update set part_takes = excluded.part_takes
where p.part_takes is distinct from excluded.part_takes
returning part_takes;

-- name: forget_patience
-- Staff close a breaker: what a provider asked for before is over too.
update sender_pace set not_before = 'epoch', strikes = 0
where portfolio_id = 0 and channel = :channel and sender = :sender and not_before > :now;

-- name: insert_sender_act
-- What staff did, and why.
insert into sender_act (portfolio_id, channel, sender, country, act, part_takes, reason, acted_by, at, changed)
values (0, :channel, :sender, :country, :act, :part_takes, :reason, :by, :now, :changed);

-- name: known_senders
-- Every sender that ever had a line or a breaker, with its line.
select k.channel, k.sender, coalesce(p.busy_until, 'epoch') as busy_until,
       coalesce(p.not_before, 'epoch') as not_before, p.part_takes
from (
    select channel, sender from sender_pace where portfolio_id = 0
    union select channel, sender from sender_halt where portfolio_id = 0
) k
left join sender_pace p on p.portfolio_id = 0 and p.channel = k.channel and p.sender = k.sender
order by k.channel, k.sender;

-- name: breakers
-- Routes that are out of order.
select channel, sender, country, code, halted_at, probe_at, proof, strikes, reason, opened_by
from sender_halt
where portfolio_id = 0 and closed_at is null
order by channel, sender, country;

-- name: waiting_for_senders
-- Notices that wait for a place in a line, for a route or for their text, by the reason of their last decision.
select w.rule, count(*) as notices
from notice n
cross join lateral (
    select d.verdict, d.rules from decision d
    where d.portfolio_id = n.portfolio_id and d.loan_id = n.loan_id and d.anchor = n.anchor
      and d.stage = n.stage
    order by d.decided_at desc, d.id desc limit 1
) d
cross join lateral (
    select case when exists (select 1 from unnest(d.rules) as r (rule) where split_part(r.rule, ':', 2) = 'template')
                then 'stopped-text' else d.rules[1] end as rule
) w
where n.state in ('waiting', 'awaiting_receipt') and d.verdict = 'snooze'
  and w.rule in ('pace', 'route-halted', 'stopped-text')
group by 1;
