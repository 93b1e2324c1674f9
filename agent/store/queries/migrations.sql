-- name: migrations_lock
-- Two machines that start together migrate one after the other. Held by the session.
select pg_advisory_lock(:key);

-- name: migrations_unlock
select pg_advisory_unlock(:key);

-- name: migrations_wait_at_most
-- A migration that cannot get its lock soon gives up, rather than queue every reader behind itself.
select set_config('lock_timeout', :timeout, true);

-- name: migrations_table_exists
select to_regclass('schema_migration') is not null;

-- name: migrations_create_table
create table if not exists schema_migration (
    name text primary key,
    sha256 text not null,
    applied_at timestamptz not null
);

-- name: migrations_applied
select name, sha256 from schema_migration order by name;

-- name: migrations_record
insert into schema_migration (name, sha256, applied_at) values (:name, :sha256, :now);
