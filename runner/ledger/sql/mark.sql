-- Names the session for as long as its transaction lasts, if the token still
-- counts; no row if it does not.
SELECT set_config('application_name', $4, true)
FROM ledger.runs
WHERE job_id = $1::uuid AND run = $2::int AND token = $3::bigint AND state = 'Processing'
