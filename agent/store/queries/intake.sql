-- name: portfolios
-- Every portfolio with the schedule version in force at an instant.
select p.id, p.name, p.lender, p.zone, p.locale, p.packs, p.role, p.country, v.version, v.source,
       -- which calendars bind, as calendars_digest says it
       (select md5(string_agg(name || ' ' || id || ' ' || md5(c.source) || array_to_string(confirmed_years, ','), ';' order by id))
        from calendar_version c where c.portfolio_id = 0) as calendars
from portfolio p
join lateral (
    select version, source from schedule_version
    where portfolio_id = p.id and active_from <= :now
    order by version desc limit 1
) v on true
where p.id > 0
order by p.id;

-- name: create_portfolio
-- A portfolio that an event names for the first time; a concurrent twin is left alone.
insert into portfolio (name, lender, zone, locale, packs, role, country, created_at)
values (:name, :lender, :zone, :locale, :packs, :role, :country, :now)
on conflict (name) do nothing;

-- name: first_schedule
-- Version 1 of a new portfolio's schedule; it was always in force.
insert into schedule_version (portfolio_id, version, name, source, sha256, active_from, author, reason)
select id, 1, :schedule, :source, :sha256, '-infinity', 'duly', 'shipped with Duly'
from portfolio where name = :name
on conflict do nothing;

-- name: keep_lines
-- Lines that are no events: kept once, encrypted, with the reason.
insert into rejected_line (portfolio_id, sha256, origin, line, reason, body, received_at)
select 0, w.sha256, :origin, w.line, w.reason, w.body, :now
from unnest(:hashes::bytea[], :lines::bigint[], :reasons::text[], :bodies::bytea[])
     as w (sha256, line, reason, body)
on conflict do nothing;

-- name: loans_named
-- Which portfolios know a loan by these references, and whose loans they are.
select portfolio_id, ref, id, borrower_id from loan where ref = any(:refs::text[]);

-- name: borrowers_named
-- Which portfolios know a person by these references.
select portfolio_id, ref, id from borrower where ref = any(:refs::text[]);

-- name: lock_people
-- Lock people in one fixed order and raise their rev: what is stored now comes after what was begun.
with locked as materialized (
    select b.portfolio_id, b.id
    from borrower b
    join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
      on b.portfolio_id = w.portfolio_id and b.id = w.id
    order by b.portfolio_id, b.id
    for update of b
)
update borrower b set rev = b.rev + 1
from locked l
where b.portfolio_id = l.portfolio_id and b.id = l.id
returning b.portfolio_id, b.id, b.ref, b.rev, b.locale, b.region, b.zones, b.data_key, b.personal, b.told,
          b.clues;

-- name: people_held
-- Who of these people is held, in whole or for a loan: what they borrow now may be covered, too.
select distinct h.portfolio_id, h.borrower_id
from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
join hold h on h.portfolio_id = w.portfolio_id and h.borrower_id = w.id
where h.lifted_at is null;

-- name: known_events
-- Events already stored under these ids, with the hash of their content; the portfolios are those of the
-- batch and the one of events that had none when they came.
select e.portfolio_id, e.id, e.source, e.sha256, e.reason
from ledger_event e where e.portfolio_id = any(:portfolios::int[]) and e.id = any(:ids::text[]);

-- name: lock_references
-- Who opens a loan and who parks an event for it meet here: one of them sees what the other stored.
-- Few keys, in one order: a large batch takes all of them, a small one hardly meets another.
select pg_advisory_xact_lock(1684372601, k)
from (select distinct hashtext(ref) & 63 as k from unnest(:refs::text[]) as ref order by 1) keys;

-- name: parked_events
-- Rejected events that wait for their loan, their payment or their person to become known.
select portfolio_id, id, source, type, subject, at, reason, data, personal
from ledger_event
where subject = any(:subjects::text[]) and state = 'rejected'
  and reason in ('unknown-loan', 'unknown-payment', 'unknown-borrower')
  and portfolio_id = any(:portfolios::int[] || 0)
order by at, id
for update;

-- name: unpark
-- Parked events whose turn has come: applied, or rejected for another reason.
update ledger_event e
set portfolio_id = w.portfolio_id, state = w.state, reason = w.reason,
    received_at = w.received_at, step = :step, position = w.position
from unnest(:old_portfolios::int[], :ids::text[], :portfolios::int[], :states::text[],
            :reasons::text[], :received::timestamptz[], :positions::int[])
     as w (old_portfolio_id, id, portfolio_id, state, reason, received_at, position)
where e.portfolio_id = w.old_portfolio_id and e.id = w.id and e.state = 'rejected';

-- name: loan_facts
-- Everything a loan's standing is derived from, one row a loan.
select l.portfolio_id, l.id, l.ref, l.borrower_id, l.currency, l.zone, l.opened_at, l.status, l.anchor,
       l.balance_minor, l.paid_minor, l.anchor_since, l.bucket, l.next_bucket_at, l.worst_dpd_floor,
       l.rescheduled_at, l.closed_at, l.close_reason, l.contact_ended_at, l.outcome_seq,
       l.held_until is not null as held,
       i.numbers, i.kinds, i.due_ons, i.amounts, p.refs, p.paid, p.paid_ats, p.known_ats, p.reversed_ats
from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
join loan l on l.portfolio_id = w.portfolio_id and l.id = w.id
cross join lateral (
    select array_agg(number) as numbers, array_agg(kind) as kinds,
           array_agg(due_on) as due_ons, array_agg(amount_minor) as amounts
    from instalment where portfolio_id = l.portfolio_id and loan_id = l.id
) i
cross join lateral (
    select array_agg(ref) as refs, array_agg(amount_minor) as paid, array_agg(paid_at) as paid_ats,
           array_agg(known_at) as known_ats, array_agg(reversed_at) as reversed_ats
    from payment where portfolio_id = l.portfolio_id and loan_id = l.id
) p;

-- name: claims
-- Outcomes that still stand for these loans, in order.
select o.portfolio_id, o.loan_id, o.seq, o.type, o.occurred_at, o.bucket as to_index,
       o.data ->> 'anchor' as anchor
from outcome o
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on o.portfolio_id = w.portfolio_id and o.loan_id = w.id
where o.type <> 'outcome.retracted'
  and not exists (select 1 from outcome r where r.portfolio_id = o.portfolio_id
                    and r.loan_id = o.loan_id and r.corrects = o.seq)
order by o.portfolio_id, o.loan_id, o.seq;

-- name: new_ids
-- Ids for new rows, taken in one go.
select nextval(:sequence::text::regclass) from generate_series(1, :count::int);

-- name: next_step
-- The number of this intake transaction.
select nextval('intake_step_seq');

-- name: update_loans
-- Write back the derived columns of loans whose facts changed.
update loan l
set zone = w.zone, status = w.status, anchor = w.anchor, anchor_since = w.anchor_since,
    balance_minor = w.balance_minor, paid_minor = w.paid_minor, bucket = w.bucket,
    next_bucket_at = w.next_bucket_at, worst_dpd_floor = w.worst_dpd_floor,
    rescheduled_at = w.rescheduled_at, closed_at = w.closed_at, close_reason = w.close_reason,
    contact_ended_at = w.contact_ended_at, outcome_seq = w.outcome_seq
from unnest(:portfolios::int[], :ids::bigint[], :zones::text[], :statuses::text[], :anchors::date[],
            :sinces::timestamptz[], :balances::bigint[], :paids::bigint[], :buckets::smallint[],
            :crossings::timestamptz[], :floors::int[], :rescheduled::timestamptz[],
            :closed::timestamptz[], :reasons::text[], :ended::timestamptz[], :seqs::int[])
     as w (portfolio_id, id, zone, status, anchor, anchor_since, balance_minor, paid_minor, bucket,
           next_bucket_at, worst_dpd_floor, rescheduled_at, closed_at, close_reason,
           contact_ended_at, outcome_seq)
where l.portfolio_id = w.portfolio_id and l.id = w.id;

-- name: reverse_payments
-- A reversal voids a payment; the row stays.
update payment p set reversed_at = w.reversed_at
from unnest(:portfolios::int[], :loans::bigint[], :refs::text[], :ats::timestamptz[])
     as w (portfolio_id, loan_id, ref, reversed_at)
where p.portfolio_id = w.portfolio_id and p.loan_id = w.loan_id and p.ref = w.ref;

-- name: drop_instalments
-- The old schedule of a rescheduled loan.
delete from instalment i
using unnest(:portfolios::int[], :loans::bigint[]) as w (portfolio_id, loan_id)
where i.portfolio_id = w.portfolio_id and i.loan_id = w.loan_id;

-- name: numbers_locked
-- Numbers in a fixed order: make the new ones, lock and raise the known ones.
insert into number as n (portfolio_id, channel, address_key, rev)
select portfolio_id, channel, address_key, 0
from unnest(:portfolios::int[], :channels::text[], :keys::bytea[]) as w (portfolio_id, channel, address_key)
order by portfolio_id, channel, address_key
on conflict (portfolio_id, channel, address_key) do update set rev = n.rev + 1;

-- name: points_of
-- Contact points that these people already have.
select c.portfolio_id, c.borrower_id, c.id, c.channel, c.address_key, c.status, c.told_at,
       c.consent_source, c.consent_at, c.number_block
from contact_point c
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on c.portfolio_id = w.portfolio_id and c.borrower_id = w.id;

-- name: set_points
-- Contact points that the ledger names again, or no longer names. What we found out ourselves stays.
update contact_point c
set told_at = w.told_at, status = case when c.status in ('active', 'withdrawn') then w.status else c.status end
from unnest(:portfolios::int[], :ids::bigint[], :statuses::text[], :tolds::timestamptz[])
     as w (portfolio_id, id, status, told_at)
where c.portfolio_id = w.portfolio_id and c.id = w.id;

-- name: tell_people
-- When the ledger last spoke of people of whom it said nothing new.
update borrower b set told = w.told::jsonb
from unnest(:portfolios::int[], :ids::bigint[], :tolds::text[]) as w (portfolio_id, id, told)
where b.portfolio_id = w.portfolio_id and b.id = w.id;

-- name: update_people
-- What the ledger newly says of people.
update borrower b
set locale = w.locale, region = w.region, zones = string_to_array(w.zones, ','), personal = w.personal,
    data_key = coalesce(b.data_key, w.data_key), told = w.told, clues = w.clues, updated_at = w.updated_at
from unnest(:portfolios::int[], :ids::bigint[], :locales::text[], :regions::text[], :zones::text[],
            :personals::bytea[], :keys::bytea[], :tolds::jsonb[], :clues::jsonb[], :ats::timestamptz[])
     as w (portfolio_id, id, locale, region, zones, personal, data_key, told, clues, updated_at)
where b.portfolio_id = w.portfolio_id and b.id = w.id;

-- name: keep_places
-- Where people were thought to be before this change: what was decided until now went by it.
insert into place_before (portfolio_id, borrower_id, rev, until_at, zones, region)
select w.portfolio_id, w.borrower_id, w.rev, :now, string_to_array(w.zones, ','), w.region
from unnest(:portfolios::int[], :borrowers::bigint[], :revs::bigint[], :zones::text[], :regions::text[])
     as w (portfolio_id, borrower_id, rev, zones, region)
on conflict do nothing;

-- name: forget_plans
-- Notices that were only planned and never looked at are planned anew for the new zone.
-- One that a begin has locked is left to it: the begin reads the new zone once it has locked the person.
delete from notice n
using (
    select n.portfolio_id, n.loan_id, n.anchor, n.stage
    from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
    join loan l on l.portfolio_id = w.portfolio_id and l.borrower_id = w.id
    join notice n on n.portfolio_id = l.portfolio_id and n.loan_id = l.id
    where n.state = 'waiting' and n.fence = 0 and n.route = 0
      and not exists (select 1 from decision d where d.portfolio_id = n.portfolio_id
                        and d.loan_id = n.loan_id and d.anchor = n.anchor and d.stage = n.stage)
    for update of n skip locked
) gone
where n.portfolio_id = gone.portfolio_id and n.loan_id = gone.loan_id and n.anchor = gone.anchor
  and n.stage = gone.stage;

-- name: open_loans_of
-- The open loans of these people.
select l.portfolio_id, l.id, l.ref from loan l
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on l.portfolio_id = w.portfolio_id and l.borrower_id = w.id
where l.status = 'open'
order by l.portfolio_id, l.id;

-- name: tell_consents
-- What was newly said of consents, the newest word whole; one that was taken back leaves the contact point
-- without consent, and only one that was given after that brings it back. A word that only says that the
-- number was checked changes no consent.
with kept as (
    insert into contact_evidence as e (portfolio_id, contact_point_id, consent_source, consent_at, given_to,
                                       scopes, revoked_at, revoked_seen_at, consent_told_at, checked_at)
    select w.portfolio_id, w.id, w.source, w.at, w.given_to, string_to_array(w.scopes, ','), w.revoked_at,
           case when w.revoked_at is not null then :now::timestamptz end,
           coalesce(w.told_at, '-infinity'), w.checked_at
    from unnest(:portfolios::int[], :ids::bigint[], :sources::text[], :ats::timestamptz[], :givens::text[],
                :scopes::text[], :revokeds::timestamptz[], :tolds::timestamptz[], :checkeds::timestamptz[])
         as w (portfolio_id, id, source, at, given_to, scopes, revoked_at, told_at, checked_at)
    on conflict (portfolio_id, contact_point_id) do update
    set (consent_source, consent_at, given_to, scopes, revoked_at, revoked_seen_at, consent_told_at) =
            (select f.consent_source, f.consent_at, f.given_to, f.scopes, f.revoked_at, f.seen_at,
                    f.consent_told_at
             from (values (false, e.consent_source, e.consent_at, e.given_to, e.scopes, e.revoked_at,
                           e.revoked_seen_at, e.consent_told_at),
                          (true, excluded.consent_source, excluded.consent_at, excluded.given_to,
                           excluded.scopes, excluded.revoked_at,
                           coalesce(e.revoked_seen_at, excluded.revoked_seen_at), excluded.consent_told_at))
                  as f (is_new, consent_source, consent_at, given_to, scopes, revoked_at, seen_at,
                        consent_told_at)
             where f.is_new = (excluded.consent_told_at > e.consent_told_at
                               and (e.revoked_at is null or excluded.revoked_at is not null
                                    or coalesce(excluded.consent_at > e.revoked_at, false)))),
        checked_at = greatest(e.checked_at, excluded.checked_at)
    returning portfolio_id, contact_point_id, consent_source, consent_at, revoked_at, consent_told_at
)
update contact_point c
set consent_source = case when k.revoked_at is null then k.consent_source end,
    consent_at = case when k.revoked_at is null then k.consent_at end
from kept k
where c.portfolio_id = k.portfolio_id and c.id = k.contact_point_id
  and k.consent_told_at > '-infinity';

-- name: tell_preferences
-- Hours without contact and waivers, each replaced by a newer word on it.
insert into preference as p (portfolio_id, borrower_id, quiet, quiet_told_at, waivers, waivers_told_at)
select w.portfolio_id, w.id, w.quiet::jsonb, coalesce(w.quiet_at, '-infinity'), w.waivers::jsonb,
       coalesce(w.waivers_at, '-infinity')
from unnest(:portfolios::int[], :ids::bigint[], :quiets::text[], :quiet_ats::timestamptz[],
            :waivers::text[], :waiver_ats::timestamptz[])
     as w (portfolio_id, id, quiet, quiet_at, waivers, waivers_at)
on conflict (portfolio_id, borrower_id) do update
set quiet = case when excluded.quiet_told_at > p.quiet_told_at then excluded.quiet else p.quiet end,
    quiet_told_at = greatest(p.quiet_told_at, excluded.quiet_told_at),
    waivers = case when excluded.waivers_told_at > p.waivers_told_at then excluded.waivers else p.waivers end,
    waivers_told_at = greatest(p.waivers_told_at, excluded.waivers_told_at);

-- name: tell_facts
-- Facts that the ledger states of people and of their loans; an older word that comes late changes nothing.
insert into stated_fact as f (portfolio_id, borrower_id, loan_ref, name, value, told_at)
select w.portfolio_id, w.id, w.loan_ref, w.name, w.value::jsonb, w.told_at
from unnest(:portfolios::int[], :ids::bigint[], :loans::text[], :names::text[], :values::text[],
            :tolds::timestamptz[])
     as w (portfolio_id, id, loan_ref, name, value, told_at)
on conflict (portfolio_id, borrower_id, loan_ref, name) do update
set value = excluded.value, told_at = excluded.told_at
where excluded.told_at >= f.told_at;
