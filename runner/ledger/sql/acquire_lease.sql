INSERT INTO ledger.runs AS r (job_id, run, state, attempt, token, lease_expires_at, heartbeat_at)
VALUES ($1::uuid, $2::int, 'Processing', $3::int, 1,
        clock_timestamp() + make_interval(secs => $4::double precision), clock_timestamp())
ON CONFLICT (job_id, run) DO UPDATE
SET state = 'Processing', attempt = excluded.attempt, token = r.token + 1,
    lease_expires_at = excluded.lease_expires_at, heartbeat_at = excluded.heartbeat_at,
    finished_at = NULL
RETURNING token, started_at
