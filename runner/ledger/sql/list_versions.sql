SELECT version FROM ledger.ledger_version ORDER BY version DESC
