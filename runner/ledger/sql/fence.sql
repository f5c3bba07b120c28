-- The row stays locked until the commit that follows. A takeover waits for the lock,
-- or came first, and then there is no row.
SELECT FROM ledger.runs
WHERE job_id = $1::uuid AND run = $2::int AND token = $3::bigint AND state = 'Processing'
FOR NO KEY UPDATE
