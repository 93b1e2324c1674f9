-- People of a batch are locked by the statement that raises their rev, in the order of the index that it
-- walks: only the primary key may lend itself to that.

alter table borrower drop constraint borrower_portfolio_id_ref_key;
alter table borrower add constraint borrower_ref_portfolio_id_key unique (ref, portfolio_id);

-- One index less for every decision: asked for is always the history of one notice, the newest first.
drop index decision_of_notice;
alter table decision drop constraint decision_pkey;
alter table decision add primary key (portfolio_id, loan_id, anchor, stage, decided_at, id);

-- A plan that was made while the table was small takes any index that begins with the portfolio for as good
-- as another, and is kept while the table grows: attempts are found by their own key or their person's.
alter table attempt drop constraint attempt_pkey;
alter table attempt add primary key (token, portfolio_id);
drop index attempt_of_person;
create index attempt_of_person on attempt (borrower_id, portfolio_id, begun_at);
