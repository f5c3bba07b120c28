INSERT INTO ledger.checkpoints (job_id, run, token, value)
VALUES ($1::uuid, $2::int, $3::bigint, $4::json)
ON CONFLICT (job_id, run) DO UPDATE
SET token = excluded.token, value = excluded.value, saved_at = clock_timestamp()
