-- Ends the older runs of a requeued job. Their runners find out later that their token
-- is not the newest.
WITH ended AS (
    UPDATE ledger.runs
    SET state = 'Failed', token = token + 1, lease_expires_at = NULL, finished_at = clock_timestamp()
    WHERE job_id = $1::uuid AND run < $2::int AND state = 'Processing'
    RETURNING job_id, run, token, attempt
)
INSERT INTO ledger.run_states (job_id, run, token, attempt, state, reason)
SELECT job_id, run, token, attempt, 'Failed', 'a newer run began' FROM ended
