-- name: calendars_digest
-- What tells whether other calendars bind than before; null while staff stored none.
select md5(string_agg(name || ' ' || id || ' ' || md5(source) || array_to_string(confirmed_years, ','), ';' order by id))
from calendar_version where portfolio_id = 0;

-- name: calendars_stored
-- The newest version of every calendar that staff stored.
select distinct on (name) id, name, source, confirmed_years, reason, stored_by, stored_at
from calendar_version where portfolio_id = 0
order by name, id desc;

-- name: store_calendar
-- A new version of a calendar; the one before it stays on record.
insert into calendar_version (portfolio_id, name, source, confirmed_years, reason, stored_by, stored_at)
values (0, :name, :source, :years, :reason, :by, :now)
returning id;

-- name: calendars_lock
-- One change of calendars at a time: a version is made from the one before it.
select pg_advisory_xact_lock(hashtext('duly calendars'));
