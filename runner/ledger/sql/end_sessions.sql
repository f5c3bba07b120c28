-- Ends the sessions in which runners with an older token have a transaction open.
-- A session may commit, and a pooler lend it to somebody else, just before it is
-- ended: that transaction fails and is tried again.
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND usename = session_user AND pid <> pg_backend_pid()
  AND CASE WHEN application_name ~ ('^wsj/' || $1 || '/[0-9]+/[0-9]+$')
           THEN (split_part(application_name, '/', 3)::bigint, split_part(application_name, '/', 4)::bigint)
                < ($2::bigint, $3::bigint)
           ELSE false END
