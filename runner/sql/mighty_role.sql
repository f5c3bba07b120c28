-- The mightiest role that this session has, or may take on, with which it reaches what
-- no database's rights guard: a superuser, or one that reads, writes or runs files of
-- the server's machine. No row for a role that is kept to its rights.
-- docs/decisions/0041-roles-that-are-refused.md
SELECT session_user::text, r.rolname::text, r.rolsuper
FROM pg_roles r
WHERE (r.rolsuper OR r.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
  AND pg_has_role(session_user, r.oid, 'MEMBER')
ORDER BY r.rolname = session_user DESC, r.rolsuper DESC, r.rolname
LIMIT 1
