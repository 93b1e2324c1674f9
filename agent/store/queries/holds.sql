-- name: place_person_holds
-- Holds on people; the people are locked and their rev is raised by then.
insert into hold (portfolio_id, reason, scope, borrower_id, from_at, until_at, placed_by, placed_rev)
select w.portfolio_id, w.reason, 'person', w.borrower_id, :now, w.until_at, :placed_by, w.rev
from unnest(:portfolios::int[], :borrowers::bigint[], :reasons::text[], :untils::timestamptz[],
            :revs::bigint[]) as w (portfolio_id, borrower_id, reason, until_at, rev)
where w.until_at is null or w.until_at > :now;

-- name: derive_held_until
-- The latest end of the holds that cover whole loans of these people; planning skips loans until then.
-- Loans that are not open, too: a reversal may open them again. A loan that is held no longer counts anew
-- from now on; since when it counted before is told.
update loan l
set held_until = h.until_at,
    anchor_since = case when h.until_at is null then :now else l.anchor_since end
from (
    select o.portfolio_id, o.id, o.anchor_since as counted_since,
           max(coalesce(h.until_at, 'infinity')) filter (where h.id is not null) as until_at
    from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
    join loan o on o.portfolio_id = w.portfolio_id and o.borrower_id = w.id
    left join hold h on h.portfolio_id = o.portfolio_id and h.borrower_id = o.borrower_id
         and h.lifted_at is null and (h.scope = 'person' or (h.scope = 'loan' and h.loan_id = o.id))
    group by o.portfolio_id, o.id
) h
where l.portfolio_id = h.portfolio_id and l.id = h.id and l.held_until is distinct from h.until_at
returning l.portfolio_id, l.id, l.borrower_id, l.zone, l.anchor, h.counted_since,
          l.held_until is null and l.status = 'open' and l.contact_ended_at is null as released;

-- name: held_loans
-- The next loans by id that automation would look at, were they not held.
select portfolio_id, id, borrower_id, zone, anchor, anchor_since from loan
where held_until > :now and status = 'open' and contact_ended_at is null
  and (portfolio_id, id) > (:after_portfolio, :after_id)
order by portfolio_id, id
limit :batch;

-- name: call_off_held
-- Stages that came while a hold covered their loan: closed notices, each with a decision that names the holds.
-- What was planned before the hold has its own end and stays as it is.
with passed as (
    select w.*, (select array_agg(distinct 'hold:' || h.reason order by 'hold:' || h.reason)
                 from hold h
                 where h.portfolio_id = w.portfolio_id and h.borrower_id = w.borrower_id
                   and (h.scope = 'person' or (h.scope = 'loan' and h.loan_id = w.loan_id))
                   and h.from_at <= w.due_at
                   and w.due_at < least(coalesce(h.until_at, 'infinity'), coalesce(h.lifted_at, 'infinity'))
                ) as holds
    from unnest(:portfolios::int[], :loans::bigint[], :borrowers::bigint[], :anchors::date[],
                :stages::text[], :versions::int[], :dues::timestamptz[], :ends::timestamptz[],
                :ats::timestamptz[], :zones::text[], :also::text[])
         as w (portfolio_id, loan_id, borrower_id, anchor, stage, version, due_at, not_after, at, zone, also)
), closed as (
    insert into notice (portfolio_id, loan_id, anchor, stage, borrower_id, schedule_version, due_at,
                        not_after, next_at, state, reason, planned_at, closed_at)
    select portfolio_id, loan_id, anchor, stage, borrower_id, version, due_at, not_after, due_at,
           'cancelled', holds[1], at, at
    from passed where holds is not null
    on conflict (portfolio_id, loan_id, anchor, stage) do nothing
    returning portfolio_id, loan_id, anchor, stage
)
insert into decision (portfolio_id, loan_id, anchor, stage, decided_at, verdict, rules, facts_hash, packs,
                      zone, person_rev)
select p.portfolio_id, p.loan_id, p.anchor, p.stage, p.at, 'cancel',
       p.holds || string_to_array(nullif(p.also, ''), ','),
       sha256(convert_to(concat_ws(' ', p.loan_id, p.anchor, p.stage, extract(epoch from p.due_at),
                                   array_to_string(p.holds, ',')), 'UTF8')),
       -- the hold was reason enough: no pack was asked
       '', p.zone, b.rev
from closed c
join passed p using (portfolio_id, loan_id, anchor, stage)
join borrower b on b.portfolio_id = p.portfolio_id and b.id = p.borrower_id
order by p.portfolio_id, p.loan_id, p.due_at, p.stage;

-- name: ended_holds
-- Holds whose time is over, with their people.
select portfolio_id, id, borrower_id from hold
where lifted_at is null and until_at <= :now
order by portfolio_id, borrower_id, id
limit :batch;

-- name: lift_holds
-- Lifted at the rev that its person has now; the loans count anew from this instant.
update hold h set lifted_at = :now, lifted_rev = coalesce(b.rev, 0)
from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
join hold o on o.portfolio_id = w.portfolio_id and o.id = w.id
left join borrower b on b.portfolio_id = o.portfolio_id and b.id = o.borrower_id
where h.portfolio_id = w.portfolio_id and h.id = w.id and h.lifted_at is null;

-- name: lift_person_holds
-- Holds on people that whoever placed them takes back; the people are locked and their rev is raised by then.
update hold h set lifted_at = :now, lifted_rev = w.rev
from unnest(:portfolios::int[], :borrowers::bigint[], :reasons::text[], :revs::bigint[])
     as w (portfolio_id, borrower_id, reason, rev)
where h.portfolio_id = w.portfolio_id and h.borrower_id = w.borrower_id and h.scope = 'person'
  and h.reason = w.reason and h.placed_by = :placed_by and h.lifted_at is null;
