-- name: make_partitions
-- Partitions of the hot tables for the months from one date to another; how many were new.
select count(*) filter (where make_month_partition(t.parent, m.month::date)) as made
from unnest(array['notice', 'decision', 'attempt_archive']) as t (parent)
cross join generate_series(date_trunc('month', :first::date), :last::date, interval '1 month') as m (month);
