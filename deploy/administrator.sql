-- What an administrator of PostgreSQL (14 to 18) does once for the tenant management service, as a superuser:
--
--   psql -h localhost -U postgres -d postgres -v password='a long random one' -f deploy/administrator.sql
--
-- Variables:  password  of the service's login, required (--db-pass)
--             user      the service's login, default admin (--db-user)
--             name      its database, default tenant_registry (--db-name)
--
-- A password in a command line can be seen in the list of processes. To keep it out of there, start psql, and in it:
--   \set password 'a long random one'
--   \i deploy/administrator.sql
--
-- Running it again is harmless: what is there stays as it is, a role's password too
-- (to change that one: \password admin).

-- The first error ends the script.
\set ON_ERROR_STOP on

\if :{?user}
\else
\set user admin
\endif

\if :{?name}
\else
\set name tenant_registry
\endif

\if :{?password}
\else
-- An error, not \quit, so that psql ends with a code that is not zero.
DO $$ BEGIN RAISE EXCEPTION 'the password is missing: psql -v password=... -f deploy/administrator.sql'; END $$;
\endif

-- Keeps the password out of the server's log while the role is made.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

-- The service's login. CREATEROLE: each tenant gets roles of its own. It is no superuser and makes no databases.
SELECT format('CREATE ROLE %I LOGIN CREATEROLE NOSUPERUSER NOCREATEDB PASSWORD %L', :'user', :'password')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'user')
\gexec

-- Its database, which holds the registry and a schema for each tenant. Owning it, the service may create schemas.
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING %L', :'name', :'user', 'UTF8')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = :'name')
\gexec

-- What follows is about that database.
\connect :"name"

-- Tenants' roles must not make anything in the common schema. (PostgreSQL 14 allows it to everybody; later ones do not.)
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- A large object is in no schema, outlives whoever made it and is listed to everybody: tenants' roles must not make any.
-- (Reading files into them, lo_import, is a superuser's anyway.)
REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(int), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea)
FROM PUBLIC;

-- The service keeps its registry there.
GRANT USAGE, CREATE ON SCHEMA public TO :"user";

-- The service ends the sessions of a tenant that is suspended or deleted.
GRANT pg_signal_backend TO :"user";
