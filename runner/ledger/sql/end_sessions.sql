-- Ends the sessions in which runners with an older token have a transaction open.
-- Just before a session is ended it may commit, and a pooler may give it to another
-- client. That client's transaction fails and has to be retried.
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND usename = session_user AND pid <> pg_backend_pid()
  AND CASE WHEN application_name ~ ('^wsj/' || $1 || '/[0-9]+/[0-9]+$')
           THEN (split_part(application_name, '/', 3)::bigint, split_part(application_name, '/', 4)::bigint)
                < ($2::bigint, $3::bigint)
           ELSE false END
