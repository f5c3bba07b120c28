-- Oldest first, beginning where the batch before ended: from the index's start
-- each batch would first pass all that the batches before have deleted.
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
