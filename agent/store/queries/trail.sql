-- name: trail_loans
-- The loans of this reference, with whose they are; several portfolios may know it.
select l.portfolio_id, p.name as portfolio, l.id, l.ref, l.borrower_id, b.ref as borrower, b.data_key,
       l.currency, l.zone, l.status, l.anchor, l.balance_minor, l.bucket, l.opened_at, l.contact_ended_at
from loan l
join portfolio p on p.id = l.portfolio_id
join borrower b on b.portfolio_id = l.portfolio_id and b.id = l.borrower_id
where l.ref = :ref
order by p.name;

-- name: trail_events
-- What the ledger told of a loan and of its person, refused events included.
select id, type, at, received_at, state, reason, data from ledger_event
where portfolio_id = :portfolio and subject in (:ref, :borrower_ref)
order by received_at, step, position;

-- name: trail_notices
-- Every notice planned for a loan.
select anchor, stage, schedule_version, due_at, not_after, next_at, state, reason, planned_at, closed_at
from notice where portfolio_id = :portfolio and loan_id = :loan
order by due_at, stage;

-- name: trail_decisions
-- Every answer of the gate about a loan.
select anchor, stage, decided_at, verdict, until_at, rules, packs, encode(facts_hash, 'hex') as facts_hash
from decision where portfolio_id = :portfolio and loan_id = :loan
order by decided_at, id;

-- name: trail_attempts
-- Every try to send something about a loan; where it was said in words of the lender's own, who answers for them.
with tried as (
    select token, anchor, stage, channel, state, fence, begun_at, settled_at, amount_minor, currency, template,
           body, provider_id, code, portfolio_rev
    from attempt where portfolio_id = :portfolio and loan_id = :loan
    union all
    select token, anchor, stage, channel, state, fence, begun_at, settled_at, amount_minor, currency, template,
           body, provider_id, code, portfolio_rev
    from attempt_archive where portfolio_id = :portfolio and loan_id = :loan
)
select t.*, v.words
from tried t
left join lateral (
    select 'version ' || w.version || ' by ' || w.author || ', approved by ' || w.approved_by as words
    from (
        select distinct on (v.message) v.*
        from text_version v
        where v.portfolio_id = :portfolio and v.portfolio_rev <= t.portfolio_rev
          and v.locale = split_part(t.template, '/', 1)
          and v.message = any (
              case t.channel
              when 'push' then array[split_part(split_part(t.template, '/', 2), '@', 1) || '.push', 'neutral.push']
              else array[split_part(split_part(t.template, '/', 2), '@', 1)] end)
        order by v.message, v.version desc
    ) w
    where w.source is not null
    order by w.message = 'neutral.push'
    limit 1
) v on true
order by t.begun_at, t.fence, t.token;

-- name: trail_receipts
-- What providers said of these messages.
select r.channel, r.provider_id, r.status, r.code, r.at, r.received_at, r.effect
from receipt r
join unnest(:channels::text[], :providers::text[]) as w (channel, provider_id)
  on w.channel = r.channel and w.provider_id = r.provider_id
where r.portfolio_id = :portfolio
order by r.received_at, r.status;

-- name: trail_outcomes
-- What the credit ledger was told of a loan.
select seq, type, occurred_at, recorded_at, data, corrects, acked_at, tries, stuck_reason, held_by,
       withheld_at, next_try_at
from outcome where portfolio_id = :portfolio and loan_id = :loan
order by seq;

-- name: trail_cases
-- Work for people about a loan or its person.
select kind, detail, opened_at, due_at, closed_at, closed_by from case_item
where portfolio_id = :portfolio and (loan_id = :loan or (loan_id is null and borrower_id = :borrower))
order by opened_at, id;

-- name: trail_holds
-- Why contact was held: for the person, the loan, or a number of theirs.
select h.reason, h.scope, h.channel, h.from_at, h.until_at, h.placed_by, h.lifted_at from hold h
where h.portfolio_id = :portfolio
  and ((h.borrower_id = :borrower and (h.loan_id is null or h.loan_id = :loan))
       or (h.scope = 'number' and (h.channel, h.address_key) in
           (select c.channel, c.address_key from contact_point c
            where c.portfolio_id = :portfolio and c.borrower_id = :borrower)))
order by h.from_at, h.id;

-- name: trail_pauses
-- Kill switches that covered the loan, whatever they were meant for.
select scope, subject, reason, paused_by, paused_at, resumed_at, resumed_by, resume_reason from pause
where portfolio_id in (0, :portfolio)
  and (scope not in ('loan', 'person', 'template') or (scope = 'loan' and subject = :ref)
       or (scope = 'person' and subject = :borrower_ref)
       or (scope = 'template'
           and (exists (select 1 from attempt a
                        where a.portfolio_id = :portfolio and a.borrower_id = :borrower
                          and a.loan_id = :loan and a.template = subject)
                or exists (select 1 from decision d
                           where d.portfolio_id = :portfolio and d.loan_id = :loan
                             and concat_ws(':', 'paused', 'template', subject) = any(d.rules)))))
order by paused_at, id;

-- name: trail_waiting
-- What the ledger told of a loan that is not known, with the reason why it was refused.
select type, at, reason from ledger_event
where subject = :ref and state = 'rejected'
order by received_at, step, position;

-- name: trail_suppressions
-- Opt-outs of the person's numbers.
select s.channel, s.reason, s.stored_at, s.lifted_at from suppression s
where s.portfolio_id = :portfolio and (s.channel, s.address_key) in
      (select c.channel, c.address_key from contact_point c
       where c.portfolio_id = :portfolio and c.borrower_id = :borrower)
order by s.stored_at, s.id;
