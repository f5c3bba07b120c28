-- Pages that this run did not read are no longer part of the source.
DELETE FROM {ledger}.sync_pages WHERE source = $1 AND read_at < $2::timestamptz
