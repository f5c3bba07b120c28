SELECT value::text FROM ledger.checkpoints WHERE job_id = $1::uuid AND run = $2::int
