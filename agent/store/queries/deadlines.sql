-- name: portfolio_duties
-- Every portfolio with what decides which deadlines bind it.
select id, packs, role from portfolio where id > 0 order by id;

-- name: stated_starts
-- The next facts that the ledger states and that deadlines count from, with the person they are about.
select f.borrower_id, f.loan_ref, f.name, f.value, b.region, b.zones, b.ref
from stated_fact f
join borrower b on b.portfolio_id = f.portfolio_id and b.id = f.borrower_id
where f.portfolio_id = :portfolio and f.name = any(:names::text[])
  and jsonb_typeof(f.value) = 'string'
  and (f.borrower_id, f.loan_ref, f.name) > (:after_id::bigint, :after_loan::text, :after_name::text)
order by f.borrower_id, f.loan_ref, f.name
limit :batch;

-- name: flag_starts
-- Flags of the ledger that start a deadline.
select h.id, h.borrower_id, h.reason, h.from_at, b.region, b.zones, b.ref
from hold h
join borrower b on b.portfolio_id = h.portfolio_id and b.id = h.borrower_id
where h.portfolio_id = :portfolio and h.reason = any(:reasons::text[]) and h.scope = 'person'
  and h.lifted_at is null and h.id > :after_id
order by h.id
limit :batch;

-- name: first_words
-- Loans of which somebody was first told since an instant.
select l.id, a.borrower_id, l.ref as loan_ref, a.first, b.region, b.zones, b.ref
from (
    select portfolio_id, loan_id, borrower_id, min(begun_at) as first from attempt
    where portfolio_id = :portfolio and loan_id > :after_id and begun_at > :since
      and state not in ('refused', 'absent')
    group by portfolio_id, loan_id, borrower_id
) a
join loan l on l.portfolio_id = a.portfolio_id and l.id = a.loan_id
join borrower b on b.portfolio_id = a.portfolio_id and b.id = a.borrower_id
where not exists (select 1 from attempt e where e.portfolio_id = l.portfolio_id
                    and e.borrower_id = a.borrower_id and e.begun_at <= :since and e.loan_id = l.id
                    and e.state not in ('refused', 'absent'))
  and not exists (select 1 from attempt_archive o where o.portfolio_id = l.portfolio_id
                    and o.loan_id = l.id and o.state not in ('refused', 'absent'))
order by l.id
limit :batch;

-- name: facts_of_people
-- What the ledger states of these people and of their loans.
select f.borrower_id, f.loan_ref, f.name, f.value from stated_fact f
where f.portfolio_id = :portfolio and f.borrower_id = any(:ids::bigint[]);

-- name: unread_replies
-- Replies that wait for a person and that nobody asked yet what they are about.
select c.id, c.opened_at, i.channel, i.provider_id, i.body, b.region, b.zones, b.locale
from case_item c
join inbound i on i.portfolio_id = 0 and c.subject = 'message ' || i.provider_id
join borrower b on b.portfolio_id = c.portfolio_id and b.id = c.borrower_id
where c.portfolio_id = :portfolio and c.kind = 'reply' and c.closed_at is null and c.detail = '{}'
  and length(i.body) > 0
order by c.id
limit :batch;

-- name: date_replies
-- What a reply is about, and by when the law wants it answered where it says so.
update case_item c set detail = w.detail, due_at = coalesce(w.due_at, c.due_at)
from unnest(:ids::bigint[], :details::jsonb[], :dues::timestamptz[]) as w (id, detail, due_at)
where c.portfolio_id = :portfolio and c.id = w.id and c.closed_at is null;

-- name: begin_duties
-- A duty that begins is noted once; returned is what is new.
insert into duty_begun (portfolio_id, borrower_id, loan_ref, rule, began_on, due_on, opened_at)
select :portfolio, w.borrower_id, w.loan_ref, w.rule, w.began_on, w.due_on, :now
from unnest(:borrowers::bigint[], :loans::text[], :rules::text[], :begans::date[], :dues::date[])
     as w (borrower_id, loan_ref, rule, began_on, due_on)
on conflict do nothing
returning borrower_id, loan_ref, rule, began_on;

-- name: open_duty_cases
-- The case of a duty, due when the rule's last day is over.
insert into case_item (portfolio_id, kind, subject, loan_id, borrower_id, detail, opened_at, due_at)
select :portfolio, 'duty', w.subject, l.id, w.borrower_id, w.detail, :now, w.due_at
from unnest(:borrowers::bigint[], :loans::text[], :subjects::text[], :details::jsonb[],
            :dues::timestamptz[]) as w (borrower_id, loan_ref, subject, detail, due_at)
left join loan l on l.portfolio_id = :portfolio and l.ref = w.loan_ref
on conflict (portfolio_id, kind, subject) where closed_at is null do nothing;

-- name: close_done_duties
-- The ledger says that these were done.
update case_item c set closed_at = :now, closed_by = 'ledger'
from stated_fact f
where c.portfolio_id = :portfolio and c.kind = 'duty' and c.closed_at is null
  and f.portfolio_id = c.portfolio_id and f.borrower_id = c.borrower_id
  and f.name = c.detail ->> 'done' and f.loan_ref in ('', coalesce(c.detail ->> 'loan', ''))
  and f.value not in ('false', 'null') and f.told_at >= (c.detail ->> 'began_on')::date - 1;
