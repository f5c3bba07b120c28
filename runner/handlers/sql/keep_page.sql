INSERT INTO {ledger}.sync_pages (source, page, etag, next)
VALUES ($1, $2, $3, $4)
ON CONFLICT (source, page) DO UPDATE
SET etag = excluded.etag, next = excluded.next, read_at = clock_timestamp()
