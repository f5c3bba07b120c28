-- The rows that decide about a claim: the run itself, newer runs and runs that are
-- leased. lease_ms is how much longer a lease lasts, by the server's clock.
SELECT run, state, token, attempt, coalesce(result::text, '') AS result,
       coalesce(ceil(extract(epoch FROM lease_expires_at - clock_timestamp()) * 1000), 0)::bigint AS lease_ms
FROM ledger.runs
WHERE job_id = $1::uuid AND (run >= $2::int OR state = 'Processing')
ORDER BY run
