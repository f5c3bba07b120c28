COMMENT ON TABLE ledger.ledger_version IS 'Ledger of Workspace Jobs'
