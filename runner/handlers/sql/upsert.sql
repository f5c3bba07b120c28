WITH written AS (
    INSERT INTO {table} AS t ({columns})
    SELECT {columns} FROM json_populate_recordset(NULL::{table}, $1::json)
    ON CONFLICT ({key}) {action}
    RETURNING xmax = 0 AS inserted
)
SELECT count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted) FROM written
