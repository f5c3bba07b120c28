SELECT name FROM {ledger}.report_queries ORDER BY name LIMIT 50
