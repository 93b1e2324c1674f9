-- name: doctor_database
-- The one place that asks the database for its time: to compare its clock with ours.
select
    current_setting('server_version_num')::integer as version,
    pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean as read_only,
    clock_timestamp() as at;

-- name: doctor_write
-- Whether this account may write; rolled back by the caller.
create temporary table doctor_probe (probe integer) on commit drop;

-- name: doctor_wrapped_key
-- Any person's key shows whether the master key is the right one: it opens or it does not.
select data_key from borrower where data_key is not null limit 1;
