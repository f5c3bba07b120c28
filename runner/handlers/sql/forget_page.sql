DELETE FROM {ledger}.sync_pages WHERE source = $1 AND page = $2
