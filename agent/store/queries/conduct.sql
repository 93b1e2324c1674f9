-- name: preferences_of
-- Hours without contact and waivers of these people; most have none.
select borrower_id, quiet, waivers from preference
where portfolio_id = :portfolio and borrower_id = any(:ids::bigint[]);

-- name: evidence_of
-- Consents of these people's contact points, when each number was last checked, and when somebody last
-- wrote from it. An opt-out is a word from the number, too, but none that says it may be written to.
select c.id, c.consent_source is not null as consented, c.consent_at, e.given_to,
       coalesce(e.scopes, '{}') as scopes, e.checked_at,
       (select max(i.received_at) from inbound i
        where i.portfolio_id = 0 and i.channel = c.channel and i.sender_key = c.address_key
          and i.reading <> 'opt_out') as heard_at
from contact_point c
left join contact_evidence e on e.portfolio_id = :portfolio and e.contact_point_id = c.id
where c.portfolio_id = :portfolio and c.borrower_id = any(:ids::bigint[]);

-- name: contacted_loans
-- Which of these loans somebody was ever told of: what is not proven unsent may have been read.
select l.id from loan l
where l.portfolio_id = :portfolio and l.id = any(:ids::bigint[])
  and (exists (select 1 from attempt a
               where a.portfolio_id = :portfolio and a.borrower_id = l.borrower_id and a.loan_id = l.id
                 and a.state not in ('refused', 'absent'))
       or exists (select 1 from attempt_archive a
                  where a.portfolio_id = :portfolio and a.loan_id = l.id
                    and a.state not in ('refused', 'absent')));
