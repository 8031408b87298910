-- What an administrator of PostgreSQL (14 to 18) does once so that PgBouncer lets tenants in, as a superuser, after
-- deploy/administrator.sql:
--
--   psql -h localhost -U postgres -d postgres -v password='another long random one' -f deploy/pgbouncer/administrator.sql
--
-- Variables:  password  of PgBouncer's own login, required (the one in userlist.txt)
--             pooler    that login, default pgbouncer (auth_user in pgbouncer.ini)
--             name      the registry's database, default tenant_registry
--
-- Running it again is harmless: what is there stays, the password too; the function is brought up to date.

-- The first error ends the script.
\set ON_ERROR_STOP on

\if :{?pooler}
\else
\set pooler pgbouncer
\endif

\if :{?name}
\else
\set name tenant_registry
\endif

\if :{?password}
\else
-- An error, not \quit, so that psql ends with a code that is not zero.
DO $$ BEGIN RAISE EXCEPTION 'the password is missing: psql -v password=... -f deploy/pgbouncer/administrator.sql'; END $$;
\endif

-- Keeps the password out of the server's log while the role is made.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

-- Asks who may log in, and can do nothing else.
SELECT format('CREATE ROLE %I LOGIN NOINHERIT PASSWORD %L', :'pooler', :'password')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'pooler')
\gexec

-- What follows is about the registry's database.
\connect :"name"

BEGIN;

-- A schema of the superuser's own: who owns a schema may drop what is in it, and `public` is the service's.
CREATE SCHEMA IF NOT EXISTS pgbouncer;

-- Answers the SCRAM verifier of a tenant's login that may log in now, and of nobody else: not of the service's role, a
-- superuser, an owner, or a tenant of another registry on this server. What a registry made carries its mark, a comment;
-- the login's must be the one that the tenant's schema in this database carries. It runs with the superuser's rights,
-- so it reads catalogs alone: a table of the registry is the service's, who could put a view with functions in its place.
CREATE OR REPLACE FUNCTION pgbouncer.tenant_login(asked text, OUT login text, OUT verifier text)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT role.rolname::text, role.rolpassword
  FROM pg_catalog.pg_authid AS role
  JOIN pg_catalog.pg_namespace AS schema
    ON schema.nspname = pg_catalog.substring(role.rolname, '^(tenant_[0-9a-f]{32})_(?:app|l[0-9]+)$')
  WHERE role.rolname = asked::name AND asked = role.rolname::text
    AND role.rolcanlogin AND (role.rolvaliduntil IS NULL OR role.rolvaliduntil > pg_catalog.now())
    AND NOT (role.rolsuper OR role.rolcreaterole OR role.rolcreatedb OR role.rolreplication OR role.rolbypassrls)
    AND role.rolpassword LIKE 'SCRAM-SHA-256$%'
    AND pg_catalog.shobj_description(role.oid, 'pg_authid') = pg_catalog.obj_description(schema.oid, 'pg_namespace')
    AND pg_catalog.shobj_description(role.oid, 'pg_authid') ~ '^tenant-management-service registry=[0-9a-f-]{36} tenant=[0-9a-f-]{36}$'
$$;

-- Whoever was there first: it runs with the rights of its owner.
ALTER SCHEMA pgbouncer OWNER TO CURRENT_USER;
ALTER FUNCTION pgbouncer.tenant_login(text) OWNER TO CURRENT_USER;

REVOKE ALL ON SCHEMA pgbouncer FROM PUBLIC;
REVOKE ALL ON FUNCTION pgbouncer.tenant_login(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgbouncer TO :"pooler";
GRANT EXECUTE ON FUNCTION pgbouncer.tenant_login(text) TO :"pooler";

COMMIT;
