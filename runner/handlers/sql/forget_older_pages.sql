-- Pages that this run did not come by are no longer part of the source.
DELETE FROM {ledger}.sync_pages WHERE source = $1 AND read_at < $2::timestamptz
