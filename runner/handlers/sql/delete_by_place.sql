-- A stretch of the table's pages, in their order (a TID range scan): over all
-- batches each page is read about once, index or not.
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
