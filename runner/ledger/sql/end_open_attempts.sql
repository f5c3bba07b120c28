UPDATE ledger.attempts
SET outcome = 'Lost', finished_at = clock_timestamp(), error = 'its lease ran out and another attempt took over'
WHERE job_id = $1::uuid AND run <= $2::int AND outcome IS NULL
