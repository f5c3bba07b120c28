-- What stands in the way of a run: itself, newer runs, runs that are leased.
-- A lease's rest is in milliseconds, by the server's clock alone.
SELECT run, state, token, attempt, coalesce(result::text, '') AS result,
       coalesce(ceil(extract(epoch FROM lease_expires_at - clock_timestamp()) * 1000), 0)::bigint AS lease_ms
FROM ledger.runs
WHERE job_id = $1::uuid AND (run >= $2::int OR state = 'Processing')
ORDER BY run
