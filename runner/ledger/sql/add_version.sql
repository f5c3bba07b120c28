INSERT INTO ledger.ledger_version (version) VALUES ($1::bigint)
