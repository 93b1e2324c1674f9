-- In which country the people of a portfolio are of whom nothing tells where: only if the lender says so.

alter table portfolio add column country text check (country ~ '^[A-Z]{2}$');
comment on column portfolio.country is
    'Where people are of whom nothing tells, in the lender''s own words; null: nobody knows, and they are held.';
alter table portfolio_rules add column country text check (country ~ '^[A-Z]{2}$');
comment on table portfolio_rules is
    'Every choice of role, packs and country for a portfolio; the newest is what portfolio says. Append only.';
