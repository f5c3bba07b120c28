-- A stretch of the table's pages, in their order (a TID range scan), so that all batches
-- together read each page about once, with or without an index.
WITH old AS MATERIALIZED (
    SELECT ctid
    FROM ONLY {table}
    WHERE ctid > $2::tid AND ctid < $3::tid AND {column} < {cutoff}
    ORDER BY ctid
    LIMIT $4::int
), gone AS (
    DELETE FROM ONLY {table}
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) AND {column} < {cutoff}
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM old),
       coalesce((SELECT max(ctid)::text FROM old), '')
