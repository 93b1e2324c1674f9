-- name: own_texts
-- The newest version of every text that a portfolio ever had of its own; without a source it is shipped again.
select distinct on (locale, message)
       locale, message, version, source, allowed_hosts, author, approved_by, reason, active_from
from text_version where portfolio_id = :portfolio
order by locale, message, version desc;

-- name: text_history
-- Every version of a portfolio's texts, the newest first.
select locale, message, version, source, allowed_hosts, author, approved_by, reason, active_from
from text_version where portfolio_id = :portfolio
order by locale, message, version desc;

-- name: keep_text
-- A new version of a text. Two that are written at once cannot both be the next one.
insert into text_version (portfolio_id, locale, message, version, source, allowed_hosts, author, approved_by,
                          reason, active_from, portfolio_rev)
values (:portfolio, :locale, :message, :version, :source, :hosts, :by, :approved_by, :reason, :now, :rev);

-- name: texts_of_portfolio
-- Which set of own texts a portfolio has.
select texts from portfolio where id = :portfolio;

-- name: set_texts
-- Begins that come after this have the texts of this name.
update portfolio set texts = :texts where id = :portfolio;

-- name: regions_of_people
-- Where the people of a portfolio may be, each place once.
select distinct region from borrower where portfolio_id = :portfolio and region is not null;
