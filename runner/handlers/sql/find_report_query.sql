SELECT query FROM {ledger}.report_queries WHERE name = $1
