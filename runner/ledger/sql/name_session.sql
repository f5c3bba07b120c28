-- Names the session until its transaction ends. No row if the token is not the newest.
SELECT set_config('application_name', $4, true)
FROM ledger.runs
WHERE job_id = $1::uuid AND run = $2::int AND token = $3::bigint AND state = 'Processing'
