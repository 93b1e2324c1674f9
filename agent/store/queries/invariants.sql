-- Each statement lists what violates one invariant: subject, detail, and the total before the limit.
-- None of them writes, and none reads a clock: `now` is given.

-- name: invariant_notice_unique
-- 1: one notice per (loan, anchor, stage), and nothing was tried that was not planned.
with tried as (
    select portfolio_id, loan_id, anchor, stage, begun_at from attempt
    union all select portfolio_id, loan_id, anchor, stage, begun_at from attempt_archive
), found as (
    select portfolio_id, loan_id, anchor, stage, 'planned ' || count(*) || ' times' as detail
    from notice group by portfolio_id, loan_id, anchor, stage having count(*) > 1
    union all
    select t.portfolio_id, t.loan_id, t.anchor, t.stage, 'tried at ' || t.begun_at || ' without a notice'
    from tried t
    left join notice n using (portfolio_id, loan_id, anchor, stage)
    where n.loan_id is null
)
select l.ref || ' ' || f.stage || ' ' || f.anchor as subject, f.detail, count(*) over () as total
from found f join loan l on l.portfolio_id = f.portfolio_id and l.id = f.loan_id
order by 1, 2 limit :examples;

-- name: invariant_one_attempt
-- 2: an attempt follows another of its notice only when that one is settled, not delivered, and another way.
with tried as (
    select portfolio_id, loan_id, anchor, stage, token, channel, provider_id, state, fence, begun_at,
           settled_at
    from attempt
    union all
    select portfolio_id, loan_id, anchor, stage, token, channel, provider_id, state, fence, begun_at,
           settled_at
    from attempt_archive
), several as (
    select portfolio_id, loan_id, anchor, stage from tried
    group by portfolio_id, loan_id, anchor, stage having count(*) > 1
), close_by as (
    select t.* from tried t join several s using (portfolio_id, loan_id, anchor, stage)
)
select l.ref || ' ' || x.stage || ' ' || x.anchor as subject,
       y.channel || ' at ' || y.begun_at || ' after ' || x.channel || ' at ' || x.begun_at
           || ', which is ' || x.state as detail,
       count(*) over () as total
from close_by x
join close_by y using (portfolio_id, loan_id, anchor, stage)
join loan l on l.portfolio_id = x.portfolio_id and l.id = x.loan_id
where (x.fence, x.begun_at, x.token) < (y.fence, y.begun_at, y.token)
  and (x.settled_at is null or x.settled_at > y.begun_at
       or (x.channel = y.channel and x.state not in ('refused', 'absent')
           and y.state not in ('refused', 'absent'))
       or exists (select 1 from receipt r
                  where r.portfolio_id = x.portfolio_id and r.channel = x.channel
                    and r.provider_id = x.provider_id and r.status = 'delivered'
                    and r.received_at < y.begun_at))
order by 1, 2 limit :examples;

-- name: invariant_one_unsettled_number
-- 2: at most one unsettled attempt for a number, for its proof is found by the number.
select channel || ' ' || encode(address_key, 'hex') as subject,
       count(*) || ' attempts are unsettled' as detail,
       count(*) over () as total
from attempt where state in ('begun', 'unknown')
group by portfolio_id, channel, address_key having count(*) > 1
order by 1 limit :examples;

-- name: invariant_after_opt_out
-- 4: nothing begun after an opt-out of the number was stored, by order of rev and not of clocks.
with tried as (
    select portfolio_id, loan_id, anchor, stage, channel, address_key, number_rev, begun_at from attempt
    union all
    select portfolio_id, loan_id, anchor, stage, channel, address_key, number_rev, begun_at
    from attempt_archive
)
select l.ref || ' ' || t.stage || ' ' || t.anchor as subject,
       t.channel || ' at ' || t.begun_at || ', opted out at ' || s.stored_at as detail,
       count(*) over () as total
from suppression s
join tried t using (portfolio_id, channel, address_key)
join loan l on l.portfolio_id = t.portfolio_id and l.id = t.loan_id
where s.number_rev < t.number_rev and (s.lifted_rev is null or t.number_rev <= s.lifted_rev)
order by 1, 2 limit :examples;

-- name: invariant_in_hold
-- 4: nothing begun while a stored hold covered the person, loan, channel or number.
with tried as (
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, address_key, person_rev,
           number_rev, begun_at from attempt
    union all
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, address_key, person_rev,
           number_rev, begun_at from attempt_archive
), covered as (
    select h.reason, h.scope, t.* from hold h join tried t
        on t.portfolio_id = h.portfolio_id and t.borrower_id = h.borrower_id
    where (h.scope = 'person' or (h.scope = 'loan' and h.loan_id = t.loan_id)
           or (h.scope = 'channel' and h.channel = t.channel))
      and h.placed_rev < t.person_rev and (h.lifted_rev is null or t.person_rev <= h.lifted_rev)
      and h.from_at <= t.begun_at and (h.until_at is null or h.until_at > t.begun_at)
    union all
    select h.reason, h.scope, t.* from hold h join tried t
        on t.portfolio_id = h.portfolio_id and t.channel = h.channel and t.address_key = h.address_key
    where h.scope = 'number'
      and h.placed_rev < t.number_rev and (h.lifted_rev is null or t.number_rev <= h.lifted_rev)
      and h.from_at <= t.begun_at and (h.until_at is null or h.until_at > t.begun_at)
)
select l.ref || ' ' || c.stage || ' ' || c.anchor as subject,
       c.channel || ' at ' || c.begun_at || ' in a hold of the ' || c.scope || ' (' || c.reason || ')' as detail,
       count(*) over () as total
from covered c join loan l on l.portfolio_id = c.portfolio_id and l.id = c.loan_id
order by 1, 2 limit :examples;

-- name: invariant_while_paused
-- 4: nothing begun under a kill switch. One for everything belongs to no portfolio's rev: there the clock decides.
with tried as (
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, portfolio_rev, begun_at, template
    from attempt
    union all
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, portfolio_rev, begun_at, template
    from attempt_archive
)
select l.ref || ' ' || t.stage || ' ' || t.anchor as subject,
       t.channel || ' at ' || t.begun_at || ', ' || p.scope || ' ' || p.subject || ' paused at '
           || p.paused_at as detail,
       count(*) over () as total
from pause p
join tried t on t.portfolio_id = p.portfolio_id or p.portfolio_id = 0
join loan l on l.portfolio_id = t.portfolio_id and l.id = t.loan_id
join borrower b on b.portfolio_id = t.portfolio_id and b.id = t.borrower_id
where (p.scope in ('all', 'portfolio') or (p.scope = 'channel' and p.subject = t.channel)
       or (p.scope = 'stage' and p.subject = t.stage) or (p.scope = 'loan' and p.subject = l.ref)
       or (p.scope = 'person' and p.subject = b.ref)
       or (p.scope = 'template' and p.subject = t.template))
  and case when p.portfolio_id = 0
           then t.begun_at > p.paused_at and (p.resumed_at is null or t.begun_at < p.resumed_at)
           else t.portfolio_rev >= p.paused_rev
                and (p.resumed_rev is null or t.portfolio_rev < p.resumed_rev) end
order by 1, 2 limit :examples;

-- name: invariant_packs_unknown
-- 5, 6: a portfolio's rules can only be checked when its packs are at hand.
select p.name as subject, 'pack ' || named.pack || ' is not installed' as detail,
       count(*) over () as total
from portfolio p cross join lateral unnest(p.packs) as named (pack)
where p.id > 0 and named.pack <> all(:packs::text[])
order by 1, 2 limit :examples;

-- name: invariant_outside_window
-- 5: every attempt, from begin to deadline, inside the window of every zone the person might be in then.
with rule as (
    select * from unnest(:w_packs::text[], :w_rules::text[], :w_channels::text[], :w_opens::time[],
                         :w_closes::time[], :w_froms::date[], :w_tos::date[])
        as r (pack, rule, channels, opens, closes, from_on, to_on)
), tried as (
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, begun_at, deadline_at, person_rev
    from attempt
    union all
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, begun_at, deadline_at, person_rev
    from attempt_archive
), placed as (
    select t.*, z.zone, p.packs, t.begun_at at time zone z.zone as began,
           t.deadline_at at time zone z.zone as ends
    from tried t
    join portfolio p on p.id = t.portfolio_id
    join borrower b on b.portfolio_id = t.portfolio_id and b.id = t.borrower_id
    left join lateral (
        select w.zones from place_before w
        where w.portfolio_id = t.portfolio_id and w.borrower_id = t.borrower_id and w.rev > t.person_rev
        order by w.rev limit 1
    ) old on true
    cross join lateral unnest(coalesce(old.zones, b.zones)) as z (zone)
)
select l.ref || ' ' || g.stage || ' ' || g.anchor as subject,
       g.channel || ' at ' || g.began || ' in ' || g.zone || ', rule ' || r.rule as detail,
       count(*) over () as total
from placed g
join rule r on r.pack = any(g.packs) and g.channel = any(string_to_array(r.channels, ','))
           and (r.from_on is null or g.began::date >= r.from_on)
           and (r.to_on is null or g.began::date <= r.to_on)
join loan l on l.portfolio_id = g.portfolio_id and l.id = g.loan_id
where date_trunc('minute', g.began)::time <= r.opens
   or date_trunc('minute', g.ends)::time >= r.closes
   or g.began::date <> g.ends::date
order by 1, 2 limit :examples;

-- name: invariant_over_date_cap
-- 6: notices of a person on consecutive local dates, counted once each, in every candidate zone of then.
with rule as (
    select * from unnest(:d_packs::text[], :d_rules::text[], :d_channels::text[], :d_counts::int[],
                         :d_days::int[], :d_froms::date[], :d_tos::date[])
        as r (pack, rule, channels, most, days, from_on, to_on)
), tried as (
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, begun_at, person_rev from attempt
    where state not in ('refused', 'absent')
    union all
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, begun_at, person_rev
    from attempt_archive where state not in ('refused', 'absent')
), contact as (
    select distinct on (portfolio_id, loan_id, anchor, stage) * from tried
    order by portfolio_id, loan_id, anchor, stage, begun_at
), counted as (
    select c.*, b.ref, b.zones, r.rule, r.channels, r.most, r.days,
           lag(c.begun_at, r.most) over (partition by r.pack, r.rule, c.portfolio_id, c.borrower_id
                                         order by c.begun_at, c.loan_id, c.stage) as before
    from contact c
    join portfolio p on p.id = c.portfolio_id
    join borrower b on b.portfolio_id = c.portfolio_id and b.id = c.borrower_id
    join rule r on r.pack = any(p.packs)
               and (r.from_on is null or (c.begun_at at time zone b.zones[1])::date >= r.from_on)
               and (r.to_on is null or (c.begun_at at time zone b.zones[1])::date <= r.to_on)
), placed as (
    -- the dates of both in the zones that the person had when the later one went out
    select g.*, z.zone, (g.begun_at at time zone z.zone)::date as day,
           (g.before at time zone z.zone)::date as earlier
    from counted g
    left join lateral (
        select w.zones from place_before w
        where w.portfolio_id = g.portfolio_id and w.borrower_id = g.borrower_id and w.rev > g.person_rev
        order by w.rev limit 1
    ) old on true
    cross join lateral unnest(coalesce(old.zones, g.zones)) as z (zone)
    where g.before > g.begun_at - (g.days + 2) * interval '1 day'
)
select ref as subject,
       most + 1 || ' notices from ' || earlier || ' to ' || day || ' in ' || zone || ', rule ' || rule as detail,
       count(*) over () as total
from placed
where earlier > day - days and channel = any(string_to_array(channels, ','))
order by 1, 2 limit :examples;

-- name: invariant_over_rolling_cap
-- 6: the same over rolling periods.
with rule as (
    select * from unnest(:r_packs::text[], :r_rules::text[], :r_channels::text[], :r_counts::int[],
                         :r_periods::interval[], :r_froms::date[], :r_tos::date[])
        as r (pack, rule, channels, most, period, from_on, to_on)
), tried as (
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, begun_at from attempt
    where state not in ('refused', 'absent')
    union all
    select portfolio_id, borrower_id, loan_id, anchor, stage, channel, begun_at from attempt_archive
    where state not in ('refused', 'absent')
), contact as (
    select distinct on (portfolio_id, loan_id, anchor, stage) * from tried
    order by portfolio_id, loan_id, anchor, stage, begun_at
), counted as (
    select c.*, b.ref, r.rule, r.channels, r.most, r.period,
           lag(c.begun_at, r.most) over (partition by r.pack, r.rule, c.portfolio_id, c.borrower_id
                                         order by c.begun_at, c.loan_id, c.stage) as earlier
    from contact c
    join portfolio p on p.id = c.portfolio_id
    join borrower b on b.portfolio_id = c.portfolio_id and b.id = c.borrower_id
    join rule r on r.pack = any(p.packs)
               and (r.from_on is null or (c.begun_at at time zone b.zones[1])::date >= r.from_on)
               and (r.to_on is null or (c.begun_at at time zone b.zones[1])::date <= r.to_on)
)
select ref as subject,
       most + 1 || ' notices from ' || earlier || ' to ' || begun_at || ', rule ' || rule as detail,
       count(*) over () as total
from counted
where earlier > begun_at - period and channel = any(string_to_array(channels, ','))
order by 1, 2 limit :examples;

-- name: invariant_undecided_attempt
-- 7: every attempt has exactly one `send` decision of its instant, taken on the same rev of the person.
with tried as (
    select portfolio_id, loan_id, anchor, stage, token, channel, begun_at, person_rev from attempt
    union all
    select portfolio_id, loan_id, anchor, stage, token, channel, begun_at, person_rev from attempt_archive
), found as (
    select t.portfolio_id, t.loan_id, t.anchor, t.stage, t.channel, t.begun_at, count(d.id) as decisions
    from tried t
    left join decision d on d.portfolio_id = t.portfolio_id and d.loan_id = t.loan_id
        and d.anchor = t.anchor and d.stage = t.stage and d.decided_at = t.begun_at
        and d.verdict = 'send' and d.person_rev = t.person_rev
    group by t.portfolio_id, t.token, t.loan_id, t.anchor, t.stage, t.channel, t.begun_at
    having count(d.id) <> 1
)
select l.ref || ' ' || f.stage || ' ' || f.anchor as subject,
       f.channel || ' at ' || f.begun_at || ' has ' || f.decisions || ' send decisions' as detail,
       count(*) over () as total
from found f join loan l on l.portfolio_id = f.portfolio_id and l.id = f.loan_id
order by 1, 2 limit :examples;

-- name: invariant_left_open
-- 7: a notice past its time is closed, unless it waits for the settling of what it already sent.
select l.ref || ' ' || n.stage || ' ' || n.anchor as subject,
       n.state || ' though its time ended at ' || n.not_after as detail,
       count(*) over () as total
from notice n join loan l on l.portfolio_id = n.portfolio_id and l.id = n.loan_id
where n.closed_at is null and n.state in ('waiting', 'awaiting_receipt')
  and n.not_after < :now::timestamptz - :grace::interval
  and n.next_at < :now::timestamptz - :grace::interval
order by 1, 2 limit :examples;

-- name: invariant_closed_without_cause
-- 7: what closed a notice is on record: a decision that cancelled it, or an attempt.
with tried as (
    select portfolio_id, loan_id, anchor, stage, state from attempt
    union all select portfolio_id, loan_id, anchor, stage, state from attempt_archive
), sent as (
    select distinct portfolio_id, loan_id, anchor, stage from tried where state not in ('refused', 'absent')
), any_try as (
    select distinct portfolio_id, loan_id, anchor, stage from tried
), decided as (
    select portfolio_id, loan_id, anchor, stage, bool_or(verdict = 'cancel') as cancelled,
           bool_or(verdict = 'send') as sent
    from decision group by portfolio_id, loan_id, anchor, stage
)
select l.ref || ' ' || n.stage || ' ' || n.anchor as subject,
       n.state || coalesce(' (' || n.reason || ')', '') || ' at ' || n.closed_at || ' with nothing on record' as detail,
       count(*) over () as total
from notice n
join loan l on l.portfolio_id = n.portfolio_id and l.id = n.loan_id
left join sent s on (s.portfolio_id, s.loan_id, s.anchor, s.stage) = (n.portfolio_id, n.loan_id, n.anchor, n.stage)
left join any_try t on (t.portfolio_id, t.loan_id, t.anchor, t.stage) = (n.portfolio_id, n.loan_id, n.anchor, n.stage)
left join decided d on (d.portfolio_id, d.loan_id, d.anchor, d.stage) = (n.portfolio_id, n.loan_id, n.anchor, n.stage)
where (n.state = 'sent' and s.loan_id is null)
   or (n.state = 'failed' and t.loan_id is null and d.sent is not true)
   or (n.state = 'cancelled' and d.cancelled is not true)
   or (n.state = 'done' and d.sent is not true)
order by 1, 2 limit :examples;

-- name: invariant_outcomes_gapless
-- 10: outcomes of a loan are numbered 1..k and the loan knows k.
with told as (
    select portfolio_id, loan_id, count(*) as n, min(seq) as first, max(seq) as last
    from outcome group by portfolio_id, loan_id
)
select l.ref as subject,
       coalesce(t.n, 0) || ' outcomes, numbered ' || coalesce(t.first, 0) || ' to ' || coalesce(t.last, 0)
           || ', the loan counts ' || l.outcome_seq as detail,
       count(*) over () as total
from loan l left join told t on t.portfolio_id = l.portfolio_id and t.loan_id = l.id
where coalesce(t.n, 0) <> l.outcome_seq or t.first <> 1 or t.last <> t.n
order by 1 limit :examples;

-- name: invariant_outcomes_ordered
-- 10: a later number never speaks of an earlier instant.
with told as (
    select portfolio_id, loan_id, seq, type, occurred_at,
           lag(occurred_at) over (partition by portfolio_id, loan_id order by seq) as before
    from outcome
)
select l.ref || ' ' || t.seq as subject,
       t.type || ' of ' || t.occurred_at || ' follows one of ' || t.before as detail,
       count(*) over () as total
from told t join loan l on l.portfolio_id = t.portfolio_id and l.id = t.loan_id
where t.before > t.occurred_at
order by 1 limit :examples;

-- name: invariant_retraction
-- 11: a retraction names one earlier outcome of its loan that is no retraction, and says so to the ledger.
select l.ref || ' ' || o.seq as subject,
       'corrects ' || coalesce(o.corrects::text, 'nothing') || ', tells the ledger '
           || coalesce(o.data ->> 'corrects_sequence', 'nothing') as detail,
       count(*) over () as total
from outcome o
join loan l on l.portfolio_id = o.portfolio_id and l.id = o.loan_id
left join outcome c on c.portfolio_id = o.portfolio_id and c.loan_id = o.loan_id and c.seq = o.corrects
where o.type = 'outcome.retracted'
  and (c.seq is null or c.seq >= o.seq or c.type = 'outcome.retracted'
       or o.data ->> 'corrects_sequence' is distinct from o.corrects::text
       or o.data ->> 'corrects_type' is distinct from c.type
       or exists (select 1 from outcome x where x.portfolio_id = o.portfolio_id
                    and x.loan_id = o.loan_id and x.corrects = o.corrects and x.seq <> o.seq))
order by 1 limit :examples;

-- name: invariant_stranded_attempt
-- 15: no attempt without an answer beyond its rescue, none unknown beyond its closing.
select l.ref || ' ' || a.stage || ' ' || a.anchor as subject,
       a.channel || ' is ' || a.state || ' since ' || a.begun_at as detail,
       count(*) over () as total
from attempt a join loan l on l.portfolio_id = a.portfolio_id and l.id = a.loan_id
where (a.state = 'begun' and a.deadline_at < :now::timestamptz - :grace::interval)
   or (a.state = 'unknown' and (a.look_at is null or a.look_at < :now::timestamptz - :grace::interval
                                or a.begun_at < :now::timestamptz - :closing::interval))
order by 1, 2 limit :examples;

-- name: invariant_unproven_without_case
-- 15: what was never proven sent or not sent is known to a person.
with tried as (
    select portfolio_id, loan_id, anchor, stage, channel, begun_at from attempt
    where state = 'closed_unknown'
    union all
    select portfolio_id, loan_id, anchor, stage, channel, begun_at from attempt_archive
    where state = 'closed_unknown'
)
select l.ref || ' ' || t.stage || ' ' || t.anchor as subject,
       t.channel || ' at ' || t.begun_at || ' was never proven, and has no case' as detail,
       count(*) over () as total
from tried t join loan l on l.portfolio_id = t.portfolio_id and l.id = t.loan_id
where not exists (select 1 from case_item c
                  where c.portfolio_id = t.portfolio_id and c.loan_id = t.loan_id
                    and c.kind = 'unknown-send')
order by 1, 2 limit :examples;

-- name: invariant_stranded_notice
-- 15: no notice in sending with nothing on its way, none due and not looked at.
select l.ref || ' ' || n.stage || ' ' || n.anchor as subject,
       n.state || ', to be looked at since ' || n.next_at as detail,
       count(*) over () as total
from notice n join loan l on l.portfolio_id = n.portfolio_id and l.id = n.loan_id
where n.closed_at is null and n.next_at < :now::timestamptz - :grace::interval
  and case when n.state = 'sending'
           then not exists (select 1 from attempt a
                            where a.portfolio_id = n.portfolio_id and a.loan_id = n.loan_id
                              and a.anchor = n.anchor and a.stage = n.stage
                              and a.state in ('begun', 'unknown'))
           else n.not_after >= :now::timestamptz - :grace::interval end
order by 1, 2 limit :examples;

-- name: invariant_stranded_loan
-- 15: time passes for every loan: no bucket has begun untold.
select l.ref as subject, 'the next bucket began at ' || l.next_bucket_at as detail,
       count(*) over () as total
from loan l
where l.next_bucket_at < :now::timestamptz - :grace::interval
order by 1 limit :examples;

-- name: invariant_stranded_receipt
-- 15: no receipt of the last day waits although the attempt it is about is there.
select r.provider_id || ' ' || r.status as subject, 'waits since ' || r.received_at as detail,
       count(*) over () as total
from receipt r
where r.effect = 'unmatched'
  and r.received_at < :now::timestamptz - :grace::interval
  and r.received_at > :now::timestamptz - interval '1 day' + :grace::interval
  and exists (select 1 from attempt a
              where a.portfolio_id = r.portfolio_id and a.settled_at < :now::timestamptz - :grace::interval
                and (a.token = r.token or r.token is null and a.channel = r.channel
                                          and a.provider_id = r.provider_id))
order by 1 limit :examples;

-- name: invariant_stranded_event
-- 15: no event still waits for a loan that has come.
select e.id as subject, e.type || ' waits for loan ' || e.subject as detail, count(*) over () as total
from ledger_event e
where e.state = 'rejected' and e.reason = 'unknown-loan'
  and exists (select 1 from loan l where l.ref = e.subject
                and (l.portfolio_id = e.portfolio_id or (e.portfolio_id = 0
                     and not exists (select 1 from loan o where o.ref = e.subject
                                       and o.portfolio_id <> l.portfolio_id))))
order by 1 limit :examples;

-- name: rederive_loans
-- The next loans by id, with what their rows say was derived.
select l.portfolio_id, l.id, l.ref, l.currency, l.zone, l.status, l.anchor, l.balance_minor, l.paid_minor,
       l.bucket, l.contact_ended_at, l.outcome_seq, b.ref as borrower, b.data_key, p.zone as home
from loan l
join borrower b on b.portfolio_id = l.portfolio_id and b.id = l.borrower_id
join portfolio p on p.id = l.portfolio_id
where l.portfolio_id > 0 and (l.portfolio_id, l.id) > (:after_portfolio, :after_id)
order by l.portfolio_id, l.id
limit :batch;

-- name: rederive_events
-- The applied events of these loans in the order in which intake applied them.
select e.portfolio_id, e.subject, e.id, e.source, e.type, e.at, e.received_at, e.step, e.data
from ledger_event e
join unnest(:portfolios::int[], :refs::text[]) as w (portfolio_id, ref)
  on w.portfolio_id = e.portfolio_id and w.ref = e.subject
where e.state = 'applied' and e.type not in ('borrower.updated', 'borrower.flagged')
order by e.step, e.position;

-- name: rederive_moves
-- What was said of the time zones of people who moved, or of whom a loan does not say it again.
with told as (
    select e.portfolio_id, coalesce(w.person ->> 'id', e.subject) as ref, e.step, e.position, e.at,
           e.received_at, e.type = 'borrower.updated' as updated,
           case when jsonb_typeof(w.person -> 'timezones') = 'array' and w.person -> 'timezones' <> '[]'
                then w.person -> 'timezones'
                when w.person ->> 'timezone' <> '' then jsonb_build_array(w.person -> 'timezone') end as zones
    from ledger_event e
    cross join lateral (select coalesce(e.data -> 'borrower', e.data) as person) w
    where e.type in ('loan.opened', 'borrower.updated') and e.state = 'applied'
)
select portfolio_id, ref, step, received_at, zones ->> 0 as zone
from (
    select t.*, max(at) over (partition by portfolio_id, ref order by step, at, position) as newest
    from told t where zones is not null
) s
-- an older word that came late changed nothing
where at = newest and (portfolio_id, ref) in (
    select portfolio_id, ref from told group by portfolio_id, ref
    having count(distinct zones) > 1 or bool_or(updated) or bool_or(zones is null))
order by step, at, position;

-- name: rederive_outcomes
-- The outcomes of these loans as they were told.
select o.portfolio_id, o.loan_id, o.seq, o.type, o.occurred_at, o.data, o.corrects
from outcome o
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on w.portfolio_id = o.portfolio_id and w.id = o.loan_id
order by o.portfolio_id, o.loan_id, o.seq;

-- name: rederive_acts
-- Stages that acted on these loans instead of speaking: no attempt came of a decision to go on. One that
-- was taken back may act again, so the notice alone does not tell when.
select n.portfolio_id, n.loan_id, n.stage, n.schedule_version, d.decided_at as at
from notice n
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on w.portfolio_id = n.portfolio_id and w.id = n.loan_id
join decision d on d.portfolio_id = n.portfolio_id and d.loan_id = n.loan_id and d.anchor = n.anchor
                and d.stage = n.stage and d.verdict = 'send'
where n.fence = 0 and n.state in ('done', 'waiting', 'cancelled')
order by n.portfolio_id, n.loan_id, d.decided_at;

-- name: rederive_attempts
-- What was sent for these loans, and on what amount.
with tried as (
    select portfolio_id, loan_id, anchor, stage, channel, token, begun_at, amount_minor, currency, body from attempt
    union all
    select portfolio_id, loan_id, anchor, stage, channel, token, begun_at, amount_minor, currency, body
    from attempt_archive
)
select t.* from tried t
join unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
  on w.portfolio_id = t.portfolio_id and w.id = t.loan_id
order by t.portfolio_id, t.loan_id, t.begun_at;

-- name: rederive_schedules
-- Every schedule version, to know which buckets held when.
select portfolio_id, version, source,
       case when isfinite(active_from) then active_from else 'epoch' end as active_from
from schedule_version order by portfolio_id, schedule_version.active_from, version;

-- name: invariant_unread_inbound
-- 8: what somebody sent us must have led to a case, or to an opt-out in every portfolio there was.
select 'message ' || i.provider_id as subject, 'is read as ' || i.reading || ', nothing follows' as detail,
       count(*) over () as total
from inbound i
where case i.reading
    when 'case' then not exists (select 1 from case_item c
                                 where c.kind = 'reply' and c.subject = 'message ' || i.provider_id)
    else exists (select 1 from portfolio p
                 where p.id > 0 and p.created_at <= i.received_at
                   and not exists (select 1 from suppression s
                                   where s.portfolio_id = p.id and s.channel = i.channel
                                     and s.address_key = i.sender_key and s.stored_at <= i.received_at
                                     and (s.lifted_at is null or s.lifted_at >= i.received_at)))
    end
order by 1 limit :examples;

-- name: packs_recorded
-- What decisions to send went by: packs with their versions.
select distinct packs from decision where verdict = 'send';

-- name: people_of_packs
-- The next people of whom an attempt was decided by one of these texts.
select distinct n.portfolio_id, n.borrower_id
from decision d
join notice n on n.portfolio_id = d.portfolio_id and n.loan_id = d.loan_id and n.anchor = d.anchor
             and n.stage = d.stage
where d.verdict = 'send' and d.packs = any(:packs::text[])
  and (n.portfolio_id, n.borrower_id) > (:after_portfolio, :after_id)
order by n.portfolio_id, n.borrower_id
limit :batch;

-- name: contacts_of_people
-- Every attempt of these people that was not void, in order, with what its decision went by.
with tried as (
    select portfolio_id, token, loan_id, anchor, stage, borrower_id, channel, address_key, state, begun_at,
           person_rev, deadline_at, body, template from attempt
    union all
    select portfolio_id, token, loan_id, anchor, stage, borrower_id, channel, address_key, state, begun_at,
           person_rev, deadline_at, body, template from attempt_archive
)
select t.portfolio_id, t.borrower_id, t.begun_at, t.channel, t.loan_id, t.anchor, t.address_key, d.packs,
       t.deadline_at, t.token, t.body, t.template, t.stage, n.schedule_version, b.data_key,
       -- since when waivers may be others than they were
       (select f.waivers_told_at from preference f
        where f.portfolio_id = t.portfolio_id and f.borrower_id = t.borrower_id) as waivers_told_at,
       coalesce(old.zones, b.zones) as zones, l.zone as loan_zone, p.role,
       l.ref || ' ' || t.stage || ' ' || t.anchor as name
from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
join tried t on t.portfolio_id = w.portfolio_id and t.borrower_id = w.id
join borrower b on b.portfolio_id = t.portfolio_id and b.id = t.borrower_id
join loan l on l.portfolio_id = t.portfolio_id and l.id = t.loan_id
join portfolio p on p.id = t.portfolio_id
join decision d on d.portfolio_id = t.portfolio_id and d.loan_id = t.loan_id and d.anchor = t.anchor
               and d.stage = t.stage and d.decided_at = t.begun_at and d.verdict = 'send'
join notice n on n.portfolio_id = t.portfolio_id and n.loan_id = t.loan_id and n.anchor = t.anchor
             and n.stage = t.stage
left join lateral (
    select m.zones from place_before m
    where m.portfolio_id = t.portfolio_id and m.borrower_id = t.borrower_id and m.rev > t.person_rev
    order by m.rev limit 1
) old on true
where t.state not in ('refused', 'absent')
order by t.portfolio_id, t.borrower_id, t.begun_at, t.token;

-- name: newest_fact
-- When the last event was taken in or the last attempt begun; null in an empty database.
select greatest((select max(received_at) from ledger_event), (select max(begun_at) from attempt));

-- name: invariant_without_consent
-- 4: every text went to a number whose owner's consent was on record, and not taken back as we knew then.
with tried as (
    select portfolio_id, loan_id, anchor, stage, channel, contact_point_id, begun_at from attempt
    where channel = 'sms'
    union all
    select portfolio_id, loan_id, anchor, stage, channel, contact_point_id, begun_at from attempt_archive
    where channel = 'sms'
)
select l.ref || ' ' || t.stage || ' ' || t.anchor as subject,
       t.channel || ' at ' || t.begun_at
           || case when e.revoked_seen_at is null then ' without any consent on record'
                   else ' after the consent was taken back, stored at ' || e.revoked_seen_at end as detail,
       count(*) over () as total
from tried t
join contact_point c on c.portfolio_id = t.portfolio_id and c.id = t.contact_point_id
left join contact_evidence e on e.portfolio_id = t.portfolio_id and e.contact_point_id = t.contact_point_id
join loan l on l.portfolio_id = t.portfolio_id and l.id = t.loan_id
where c.consent_source is null
  and case when e.revoked_seen_at is not null then t.begun_at > e.revoked_seen_at
           else e.consent_source is null end
order by 1, 2 limit :examples;

-- name: invariant_answered_once
-- 8: an opt-out was answered at most once while its number stayed closed, and never long after it came.
with answers as (
    select c.channel, c.provider_id, c.address_key, c.decided_at, i.at,
           lag(c.decided_at) over (partition by c.channel, c.address_key order by c.decided_at, c.provider_id) as before
    from confirmation c
    join inbound i on i.portfolio_id = 0 and i.channel = c.channel and i.provider_id = c.provider_id
    where c.state in ('begun', 'accepted', 'unknown')
)
select 'message ' || a.provider_id as subject,
       case when a.decided_at > a.at + interval '1 hour' then 'answered at ' || a.decided_at || ', long after it came'
            else 'a second answer after that of ' || a.before end as detail,
       count(*) over () as total
from answers a
where a.decided_at > a.at + interval '1 hour'
   or (a.before is not null
       and not exists (select 1 from suppression s
                       where s.channel = a.channel and s.address_key = a.address_key
                         and s.lifted_at between a.before and a.decided_at))
order by 1 limit :examples;
