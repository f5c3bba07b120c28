-- A tenant's role and database on a shared server. Run it with psql, as a role that may
-- create roles and databases (it need not be a superuser), as often as you like:
--
--   TENANT_PASSWORD=… psql -v ON_ERROR_STOP=1 -v tenant=acme -v schema=hangfire -v concurrency=20 \
--     -f tenant.sql "$ADMIN_URL"
--
-- concurrency is the Workspace's. A tenant that exists already keeps its data and gets the
-- password and the limit.
\set password `printf %s "$TENANT_PASSWORD"`

-- 1. A role that may log in, and has no rights beyond a database. Each running job has at
--    most six connections, and few have more than two. The limit leaves half of the server's
--    connections to the other tenants.
SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', :'tenant')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'tenant') \gexec
SELECT format('ALTER ROLE %I CONNECTION LIMIT %s', :'tenant', least(6 * :concurrency + 10,
  current_setting('max_connections')::int / 2)) \gexec
ALTER ROLE :"tenant" PASSWORD :'password';

-- 2. A database owned by the admin: an owner could drop it, or let others in. It stays
--    closed until step 3 is done, since every role may connect to a new database.
SELECT format('CREATE DATABASE %I TEMPLATE template0 ALLOW_CONNECTIONS false', :'tenant')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'tenant') \gexec

-- 3. Only the tenant may connect to it. Without CREATE, the tenant can't add schemas or
--    extensions.
REVOKE ALL ON DATABASE :"tenant" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"tenant" TO :"tenant";
ALTER DATABASE :"tenant" ALLOW_CONNECTIONS true;

-- 4. Two schemas for tables: the ledger's, and "public" for the tenant's own.
\connect :"tenant"
CREATE SCHEMA IF NOT EXISTS :"schema";
GRANT USAGE, CREATE ON SCHEMA :"schema" TO :"tenant";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO :"tenant";
