-- name: lock_duty
-- Claims of one duty are decided one after another; the lock ends with the short transaction.
select pg_advisory_xact_lock(hashtext('duly.tick'), hashtext(:duty::text));

-- name: claim_slot
-- Take a slot that nobody has, or one whose owner died; not while another slot of the duty runs.
insert into tick_slot as t (duty, slot, claimed_at, claimed_by)
select :duty, :slot, :now, :owner
where not exists (select 1 from tick_slot o
                  where o.duty = :duty and o.slot <> :slot and o.finished_at is null
                    and o.claimed_at > :stale)
on conflict (duty, slot) do update
set claimed_at = excluded.claimed_at, claimed_by = excluded.claimed_by
where t.finished_at is null and t.claimed_at <= :stale
returning slot;

-- name: finish_slot
-- The duty is done; an owner that was taken for dead meanwhile changes nothing.
update tick_slot set finished_at = :now, counts = :counts
where duty = :duty and slot = :slot and claimed_by = :owner and finished_at is null;

-- name: release_slot
-- The work failed: the slot may be taken over at once, and holds up no other.
update tick_slot set claimed_at = :stale
where duty = :duty and slot = :slot and claimed_by = :owner and finished_at is null;

-- name: stranded_slots
-- Slots whose owner died in them, and whether a later slot of the duty has done its work since.
select t.slot,
       exists (select 1 from tick_slot l
               where l.duty = t.duty and l.slot > t.slot and l.finished_at is not null) as superseded
from tick_slot t
where t.duty = :duty and t.finished_at is null and t.claimed_at <= :stale
order by t.slot
limit 1000;

-- name: close_stranded
-- Stranded slots that later ones have made good; their history says so.
update tick_slot set finished_at = :now, counts = '{"superseded": 1}'
where duty = :duty and slot = any(:slots::timestamptz[]) and finished_at is null
  and claimed_at <= :stale;

-- name: prune_slots
-- Old finished slots go; the last of each duty stays, to show when it ran.
delete from tick_slot t
where t.finished_at is not null and t.slot < :before
  and exists (select 1 from tick_slot l where l.duty = t.duty and l.slot > t.slot);

-- name: ring_urgent
-- Wake the workers of a lane the moment this transaction commits; for single urgent messages only,
-- because NOTIFY makes committing transactions queue up behind each other.
select pg_notify('duly_urgent', :lane::text);

-- name: try_lead
-- One scheduler of several does the ticking; held by the session, and nothing depends on it.
select pg_try_advisory_lock(hashtext('duly.scheduler'), 0);
