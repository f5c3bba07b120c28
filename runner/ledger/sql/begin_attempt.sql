WITH begun AS (
    INSERT INTO ledger.attempts (job_id, run, token, attempt)
    VALUES ($1::uuid, $2::int, $3::bigint, $4::int)
    RETURNING job_id, run, token, attempt
)
INSERT INTO ledger.run_states (job_id, run, token, attempt, state)
SELECT job_id, run, token, attempt, 'Processing' FROM begun
