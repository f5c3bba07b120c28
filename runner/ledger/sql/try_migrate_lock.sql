-- Until the transaction ends: a session's lock would outlive it in a pooler.
SELECT pg_try_advisory_xact_lock(hashtextextended('workspace-jobs ledger ' || $1, 0))
