SELECT attname, format_type(atttypid, NULL)
FROM pg_attribute
WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped
