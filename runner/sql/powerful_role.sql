-- The most powerful role that this session has, or may switch to, that is not bound by
-- a database's rights: a superuser, or a role that may read, write or run files on the
-- server's machine. No row if there is none.
-- docs/decisions/0041-roles-that-are-refused.md
SELECT session_user::text, r.rolname::text, r.rolsuper
FROM pg_roles r
WHERE (r.rolsuper OR r.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
  AND pg_has_role(session_user, r.oid, 'MEMBER')
ORDER BY r.rolname = session_user DESC, r.rolsuper DESC, r.rolname
LIMIT 1
