-- name: array_types
-- Every array type that statements take: a connection that sees them here asks what they are once, not
-- again for each statement that comes with another one.
select null::bigint[], null::int[], null::smallint[], null::text[], null::date[], null::time[],
       null::timestamptz[], null::interval[], null::bytea[], null::jsonb[];

-- name: gather_statistics
-- Of every table, the whole of partitioned ones among them, which nothing else looks at: questions that
-- join such wholes go through them once for each row without it.
analyze;

-- name: gather_of_grown
-- Statistics of the tables whose files have grown to four times what PostgreSQL last saw of them.
do $$
declare grown regclass;
begin
    for grown in
        select oid from pg_class
        where relkind = 'r' and relnamespace = current_schema::regnamespace
          and pg_relation_size(oid) >= 4 * greatest(relpages, 4) * current_setting('block_size')::bigint
        order by oid
    loop
        execute 'analyze ' || grown;
    end loop;
end $$;
