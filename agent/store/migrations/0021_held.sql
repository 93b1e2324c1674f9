-- Stages that come while a loan is held are called off: which loans are held, and whose holds covered an instant.

create index loan_held on loan (portfolio_id, id)
    where held_until is not null and status = 'open' and contact_ended_at is null;
create index hold_ever_of_borrower on hold (portfolio_id, borrower_id, from_at);
