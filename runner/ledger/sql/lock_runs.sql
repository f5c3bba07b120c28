-- After this the leases stand still. A frozen runner may hold such a row in an
-- open transaction, so this needs a lock_timeout.
SELECT FROM ledger.runs
WHERE job_id = $1::uuid AND (run >= $2::int OR state = 'Processing')
ORDER BY run FOR NO KEY UPDATE
