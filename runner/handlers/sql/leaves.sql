-- The tables that hold a table's rows (the table itself, its partitions, its children)
-- and whether each has an index that finds rows by the column.
WITH RECURSIVE tree AS (
    SELECT $1::oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid
)
SELECT n.nspname, c.relname, c.relkind::text,
       EXISTS (
           SELECT FROM pg_index i
           JOIN pg_class ic ON ic.oid = i.indexrelid
           JOIN pg_am am ON am.oid = ic.relam
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
           WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL
             AND am.amname = 'btree' AND a.attname = $2
       ) AS indexed
FROM tree
JOIN pg_class c ON c.oid = tree.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind <> 'p'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
