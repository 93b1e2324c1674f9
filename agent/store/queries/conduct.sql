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

-- name: first_contacts
-- When somebody was first told of these loans: what is not proven unsent may have been read.
select l.id, least(a.at, r.at) as at
from loan l
cross join lateral (
    select min(begun_at) as at from attempt
    where portfolio_id = :portfolio and borrower_id = l.borrower_id and loan_id = l.id
      and state not in ('refused', 'absent')
) a
cross join lateral (
    select min(begun_at) as at from attempt_archive
    where portfolio_id = :portfolio and loan_id = l.id and state not in ('refused', 'absent')
) r
where l.portfolio_id = :portfolio and l.id = any(:ids::bigint[]) and least(a.at, r.at) is not null;

-- name: facts_stated
-- What the ledger states of these people and their loans, as far as rules name it.
select borrower_id, loan_ref, name, value from stated_fact
where portfolio_id = :portfolio and borrower_id = any(:ids::bigint[]) and name = any(:names::text[])
  and jsonb_typeof(value) <> 'null'
order by borrower_id, loan_ref, name;

-- name: tries_of
-- How what was tried for these people ended, oldest first.
select borrower_id, loan_id, address_key, state, begun_at, token from attempt
where portfolio_id = :portfolio and borrower_id = any(:ids::bigint[])
union all
select borrower_id, loan_id, address_key, state, begun_at, token from attempt_archive
where portfolio_id = :portfolio and borrower_id = any(:ids::bigint[])
order by begun_at, token;

-- name: registered_texts
-- The ids under which gateways know a portfolio's texts, the newest word on each.
select distinct on (country, message, locale) country, message, locale, template_id
from registered_text where portfolio_id = :portfolio
order by country, message, locale, id desc;

-- name: register_text
-- The id of a text; null takes it back.
insert into registered_text (portfolio_id, country, message, locale, template_id, reason, registered_by, registered_at)
values (:portfolio, :country, :message, :locale, :template_id, :reason, :by, :now)
returning id;

-- name: anybody_in
-- Whether any person of a portfolio may be in a country.
select exists (
    select 1 from borrower
    where portfolio_id = :portfolio and region is not null
      and ('+' || region) ~ ('[+]' || :country || '(-|[+]|$)')
);
