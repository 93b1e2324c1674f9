-- name: array_types
-- Every array type that statements take: a connection that sees them here asks what they are once, not
-- again for each statement that comes with another one.
select null::bigint[], null::int[], null::smallint[], null::text[], null::date[], null::time[],
       null::timestamptz[], null::interval[], null::bytea[], null::jsonb[];
