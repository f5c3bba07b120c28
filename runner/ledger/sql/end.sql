-- Ends an attempt and its lease. No row if the token is not the newest.
WITH ended AS (
    UPDATE ledger.runs
    SET state = $4, lease_expires_at = NULL, result = $5::json,
        finished_at = CASE WHEN $4 IN ('Succeeded', 'Failed') THEN clock_timestamp() END
    WHERE job_id = $1::uuid AND run = $2::int AND token = $3::bigint AND state = 'Processing'
    RETURNING job_id, run, token, attempt
), attempt AS (
    UPDATE ledger.attempts a
    SET outcome = $6, finished_at = clock_timestamp(), error = $7
    FROM ended
    WHERE a.job_id = ended.job_id AND a.run = ended.run AND a.token = ended.token
)
INSERT INTO ledger.run_states (job_id, run, token, attempt, state, reason)
SELECT job_id, run, token, attempt, $4, coalesce($7, '') FROM ended
