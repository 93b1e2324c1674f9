-- name: loans_crossing
-- Loans that time has carried into their next bucket.
select portfolio_id, id, borrower_id from loan
where next_bucket_at <= :now
order by next_bucket_at, portfolio_id, id
limit :batch;
