UPDATE ledger.runs
SET heartbeat_at = clock_timestamp(),
    lease_expires_at = clock_timestamp() + make_interval(secs => $4::double precision)
WHERE job_id = $1::uuid AND run = $2::int AND token = $3::bigint AND state = 'Processing'
