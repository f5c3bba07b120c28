INSERT INTO {ledger}.reports (id, period_start, period_end, query, row_count, csv, json)
VALUES ($1, $2::timestamptz, $3::timestamptz, $4, $5::int, $6, $7::json)
ON CONFLICT (id, period_start, period_end) DO UPDATE
SET query = excluded.query, row_count = excluded.row_count, csv = excluded.csv, json = excluded.json,
    generated_at = clock_timestamp()
