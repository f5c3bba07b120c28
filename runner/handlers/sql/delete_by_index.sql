-- Oldest first, from where the last batch ended: from the start of the index, each
-- batch would first pass everything that earlier batches have deleted.
WITH old AS MATERIALIZED (
    SELECT ctid, {column} AS at
    FROM ONLY {table}
    WHERE {column} < {cutoff} AND {column} >= $2::{type}
    ORDER BY {column}
    LIMIT $3::int
), gone AS (
    DELETE FROM ONLY {table}
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) AND {column} < {cutoff}
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM old),
       coalesce((SELECT to_json(max(at)) #>> '{}' FROM old), '')
