CREATE TABLE ledger.ledger_version (
    version    bigint PRIMARY KEY CHECK (version >= 0),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
