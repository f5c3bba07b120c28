DELETE FROM ledger.ledger_version WHERE version = $1::bigint
