-- name: ended_people
-- The next people whose data is still there, whose loans have all ended, and who are to be looked at.
select b.portfolio_id, b.id
from borrower b
left join retention r on r.portfolio_id = b.portfolio_id and r.borrower_id = b.id
where b.data_key is not null and (r.look_at is null or r.look_at <= :now)
  and exists (select 1 from loan l where l.portfolio_id = b.portfolio_id and l.borrower_id = b.id)
  and not exists (select 1 from loan l where l.portfolio_id = b.portfolio_id and l.borrower_id = b.id
                    and l.status = 'open')
order by b.portfolio_id, b.id
limit :batch;

-- name: lock_ended_people
-- Lock them and raise their rev: whoever brings a new loan or hold of theirs comes before or after.
with locked as materialized (
    select b.portfolio_id, b.id
    from borrower b
    join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
      on b.portfolio_id = w.portfolio_id and b.id = w.id
    where b.data_key is not null
    order by b.portfolio_id, b.id
    for update of b
)
update borrower b set rev = b.rev + 1
from locked l
where b.portfolio_id = l.portfolio_id and b.id = l.id
returning b.portfolio_id, b.id, b.ref, b.region;

-- name: upkeep_of
-- What the keeping of people's data depends on: from when duties count, and what stands against the end.
-- Instants count on the latest date that any zone shows, so that no duty ends early.
select b.portfolio_id, b.id, b.ref, b.region, p.packs, p.role,
       (loans.ended at time zone 'Etc/GMT-14')::date as loan_ended,
       (greatest(tried.latest, loans.ended) at time zone 'Etc/GMT-14')::date as last_activity,
       (arrears.ended at time zone 'Etc/GMT-14')::date as event_ended,
       loans.open,
       exists (select 1 from hold h where h.portfolio_id = b.portfolio_id and h.borrower_id = b.id
                 and h.lifted_at is null and (h.until_at is null or h.until_at > :now)) as held,
       exists (select 1 from case_item c where c.portfolio_id = b.portfolio_id and c.closed_at is null
                 and (c.borrower_id = b.id or c.loan_id in (
                      select l.id from loan l
                      where l.portfolio_id = b.portfolio_id and l.borrower_id = b.id))) as has_case,
       tried.unsettled as unfinished
from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
join borrower b on b.portfolio_id = w.portfolio_id and b.id = w.id
join portfolio p on p.id = b.portfolio_id
cross join lateral (
    select max(greatest(l.closed_at, l.opened_at, (select max(y.paid_at) from payment y
               where y.portfolio_id = l.portfolio_id and y.loan_id = l.id))) as ended,
           bool_or(l.status = 'open') as open
    from loan l where l.portfolio_id = b.portfolio_id and l.borrower_id = b.id
) loans
cross join lateral (
    select max(t.begun_at) as latest, coalesce(bool_or(t.state in ('begun', 'unknown')), false) as unsettled
    from (
        select a.begun_at, a.state from attempt a
        where a.portfolio_id = b.portfolio_id and a.borrower_id = b.id
        union all
        select a.begun_at, a.state from loan l
        join attempt_archive a on a.portfolio_id = l.portfolio_id and a.loan_id = l.id
        where l.portfolio_id = b.portfolio_id and l.borrower_id = b.id
    ) t
) tried
cross join lateral (
    -- arrears end when they are cured, or with the loan
    select max(case when last.type = 'account.cured' then last.occurred_at
                    else coalesce(l.closed_at, last.occurred_at) end) as ended
    from loan l
    cross join lateral (
        select o.type, o.occurred_at from outcome o
        where o.portfolio_id = l.portfolio_id and o.loan_id = l.id
          and o.type in ('account.cured', 'account.bucket_changed', 'account.charge_off_recommended')
        order by o.seq desc limit 1
    ) last
    where l.portfolio_id = b.portfolio_id and l.borrower_id = b.id
) arrears;

-- name: mark_retention
-- Why people's data is kept, and when to look again.
insert into retention (portfolio_id, borrower_id, looked_at, look_at, reason, kept_through, delete_by, rules)
select w.portfolio_id, w.borrower_id, :now, w.look_at, w.reason, w.kept_through, w.delete_by,
       string_to_array(w.rules, ',')
from unnest(:portfolios::int[], :borrowers::bigint[], :looks::timestamptz[], :reasons::text[],
            :keeps::date[], :deletes::date[], :rules::text[])
     as w (portfolio_id, borrower_id, look_at, reason, kept_through, delete_by, rules)
on conflict (portfolio_id, borrower_id) do update
set looked_at = excluded.looked_at, look_at = excluded.look_at, reason = excluded.reason,
    kept_through = excluded.kept_through, delete_by = excluded.delete_by, rules = excluded.rules;

-- name: erase_people
-- Their keys are destroyed: what was sealed with them is noise from now on. References and dates stay.
update borrower b
set data_key = null, personal = null, clues = '{}', updated_at = :now
from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
where b.portfolio_id = w.portfolio_id and b.id = w.id;

-- name: erase_events
-- What events said of them, sealed with their key or, where they were not known yet, with another.
update ledger_event e set personal = null
from (
    select b.portfolio_id, b.ref as subject
    from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
    join borrower b on b.portfolio_id = w.portfolio_id and b.id = w.id
    union
    select l.portfolio_id, l.ref
    from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
    join loan l on l.portfolio_id = w.portfolio_id and l.borrower_id = w.id
) gone
where e.portfolio_id = gone.portfolio_id and e.subject = gone.subject and e.personal is not null;

-- name: erase_inbound
-- What they wrote, unless the number is somebody else's too. That it came, and an opt-out, stay known.
update inbound i set body = ''::bytea, sender = ''::bytea
from (
    select distinct c.channel, c.address_key
    from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
    join contact_point c on c.portfolio_id = w.portfolio_id and c.borrower_id = w.id
    where not exists (
        select 1 from contact_point o
        where o.channel = c.channel and o.address_key = c.address_key
          and (o.portfolio_id, o.borrower_id) not in
              (select * from unnest(:portfolios::int[], :ids::bigint[])))
) gone
where i.channel = gone.channel and i.sender_key = gone.address_key and length(i.body) > 0;

-- name: erase_evidence
-- Consents and checks of their numbers.
delete from contact_evidence e
using contact_point c, unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
where c.portfolio_id = w.portfolio_id and c.borrower_id = w.id
  and e.portfolio_id = c.portfolio_id and e.contact_point_id = c.id;

-- name: erase_points
-- Their addresses. An opt-out of a number is kept by its keyed hash.
delete from contact_point c
using unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
where c.portfolio_id = w.portfolio_id and c.borrower_id = w.id;

-- name: erase_preferences
-- What they asked for.
delete from preference f
using unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
where f.portfolio_id = w.portfolio_id and f.borrower_id = w.id;

-- name: erase_stated
-- What the ledger stated of them.
delete from stated_fact f
using unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
where f.portfolio_id = w.portfolio_id and f.borrower_id = w.id;

-- name: note_erasures
-- That it was done, and by which rules.
insert into erasure (portfolio_id, borrower_id, erased_at, rules, packs, kept_through, delete_by, erased)
select w.portfolio_id, w.borrower_id, :now, string_to_array(w.rules, ','), w.packs, w.kept_through,
       w.delete_by, w.erased
from unnest(:portfolios::int[], :borrowers::bigint[], :rules::text[], :packs::text[], :keeps::date[],
            :deletes::date[], :erased::jsonb[])
     as w (portfolio_id, borrower_id, rules, packs, kept_through, delete_by, erased);

-- name: forget_retention
-- Who was erased is not kept for any reason any more.
delete from retention r
using unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
where r.portfolio_id = w.portfolio_id and r.borrower_id = w.id;

-- name: points_of_erased
-- How many addresses each of these people has.
select c.portfolio_id, c.borrower_id, count(*) as points
from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
join contact_point c on c.portfolio_id = w.portfolio_id and c.borrower_id = w.id
group by c.portfolio_id, c.borrower_id;

-- name: open_retention_cases
-- A duty to keep that ends after the limit: a person decides.
insert into case_item (portfolio_id, kind, subject, borrower_id, detail, opened_at, due_at)
select w.portfolio_id, 'retention-conflict', 'person ' || b.ref, b.id, w.detail, :now, :due
from unnest(:portfolios::int[], :ids::bigint[], :details::jsonb[]) as w (portfolio_id, id, detail)
join borrower b on b.portfolio_id = w.portfolio_id and b.id = w.id
on conflict (portfolio_id, kind, subject) where closed_at is null do nothing;

-- name: trail_retention
-- Why a person's data is kept, or that it was erased.
select looked_at as at, 'kept: ' || reason as word, kept_through, delete_by, rules from retention
where portfolio_id = :portfolio and borrower_id = :borrower
union all
select erased_at, 'erased', kept_through, delete_by, rules from erasure
where portfolio_id = :portfolio and borrower_id = :borrower
order by 1;
