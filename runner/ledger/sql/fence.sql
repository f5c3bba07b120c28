-- The row stays locked until the commit that follows: a takeover waits for it,
-- or comes first and leaves no row here.
SELECT FROM ledger.runs
WHERE job_id = $1::uuid AND run = $2::int AND token = $3::bigint AND state = 'Processing'
FOR NO KEY UPDATE
