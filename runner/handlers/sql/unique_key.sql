-- Whether there is a unique index on exactly these columns.
SELECT EXISTS (
    SELECT FROM pg_index i
    WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
      AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C")
           FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k (attnum)
           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) = $2::text[]
)
