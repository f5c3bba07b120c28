INSERT INTO ledger.jobs (id, name, workspace, queue, handler, args)
VALUES ($1::uuid, $2, $3, $4, $5, $6::json)
ON CONFLICT (id) DO NOTHING
