-- From here on the leases can't change. A frozen runner may have locked a row in an
-- open transaction, so this needs a lock_timeout.
SELECT FROM ledger.runs
WHERE job_id = $1::uuid AND (run >= $2::int OR state = 'Processing')
ORDER BY run FOR NO KEY UPDATE
