-- A name without a schema is looked up as the session's search_path says.
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (n.nspname = $1 OR $1 = '' AND pg_table_is_visible(c.oid))
