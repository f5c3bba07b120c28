-- Held until the transaction ends. With a pooler, a session's lock would outlive it.
SELECT pg_try_advisory_xact_lock(hashtextextended('workspace-jobs ledger ' || $1, 0))
