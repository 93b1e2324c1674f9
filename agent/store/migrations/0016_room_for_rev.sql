-- A begin raises the rev of everybody in its batch, and people who were taken in together are often due
-- together: with room for each of them on its page, no index entry is written.

alter table borrower set (fillfactor = 50);
