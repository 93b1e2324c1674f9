-- name: place_person_holds
-- Holds on people; the people are locked and their rev is raised by then.
insert into hold (portfolio_id, reason, scope, borrower_id, from_at, until_at, placed_by, placed_rev)
select w.portfolio_id, w.reason, 'person', w.borrower_id, :now, w.until_at, :placed_by, w.rev
from unnest(:portfolios::int[], :borrowers::bigint[], :reasons::text[], :untils::timestamptz[],
            :revs::bigint[]) as w (portfolio_id, borrower_id, reason, until_at, rev)
where w.until_at is null or w.until_at > :now;

-- name: derive_held_until
-- The latest end of the holds that cover whole loans of these people; planning skips loans until then.
-- Loans that are not open, too: a reversal may open them again.
update loan l
set held_until = h.until_at,
    anchor_since = case when h.until_at is null then :now else l.anchor_since end
from (
    select o.portfolio_id, o.id,
           max(coalesce(h.until_at, 'infinity')) filter (where h.id is not null) as until_at
    from unnest(:portfolios::int[], :ids::bigint[]) as w (portfolio_id, id)
    join loan o on o.portfolio_id = w.portfolio_id and o.borrower_id = w.id
    left join hold h on h.portfolio_id = o.portfolio_id and h.borrower_id = o.borrower_id
         and h.lifted_at is null and (h.scope = 'person' or (h.scope = 'loan' and h.loan_id = o.id))
    group by o.portfolio_id, o.id
) h
where l.portfolio_id = h.portfolio_id and l.id = h.id and l.held_until is distinct from h.until_at;

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
