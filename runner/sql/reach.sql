-- What a role that is not refused may still do beyond its own database.
SELECT r.rolname::text, r.rolcreaterole, r.rolcreatedb, r.rolreplication,
       pg_has_role(r.oid, 'pg_signal_backend', 'MEMBER') AS signals,
       pg_has_role(r.oid, 'pg_read_all_stats', 'MEMBER') AS statistics,
       r.rolconnlimit < 0 OR r.rolconnlimit >= current_setting('max_connections')::int AS connections,
       (SELECT count(*) FROM pg_database d
        WHERE d.datallowconn AND d.datname <> current_database()
          AND has_database_privilege(r.oid, d.oid, 'CONNECT')) AS others
FROM pg_roles r
WHERE r.rolname = session_user
