import type { SqlSession } from '../core/ports.ts';
import type { Finding } from './finding.ts';

/** What an administrator has to have done, and what is not a tenant's. */
interface ServerCheck {
  readonly name: string;
  /** A row, with what is wrong as its parts, for each thing that is wrong. */
  readonly sql: string;
  finding(row: Record<string, unknown>): Omit<Finding, 'check'>;
}

const script = 'deploy/administrator.sql gives it';

const checks: readonly ServerCheck[] = [
  {
    name: 'version',
    sql: `SELECT current_setting('server_version') AS version
      WHERE current_setting('server_version_num')::int NOT BETWEEN 140000 AND 189999`,
    finding: ({ version }) => ({
      what: `PostgreSQL is ${version}`,
      remedy: 'this service is made for 14 to 18',
    }),
  },
  {
    name: 'service role',
    sql: `SELECT current_user AS role FROM pg_roles WHERE rolname = current_user AND rolsuper`,
    finding: ({ role }) => ({
      what: `${role} is a superuser`,
      remedy: 'an administrator should take that away: the service needs CREATEROLE and its database',
    }),
  },
  {
    name: 'service role',
    sql: `SELECT lacking, current_user AS role FROM unnest(array_remove(ARRAY[
        CASE WHEN NOT (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user) THEN 'CREATEROLE' END,
        CASE WHEN NOT has_database_privilege(current_database(), 'CREATE') THEN 'CREATE on its database' END,
        CASE WHEN NOT has_schema_privilege('public', 'USAGE') THEN 'USAGE on the schema public' END,
        CASE WHEN NOT has_schema_privilege('public', 'CREATE') THEN 'CREATE on the schema public' END,
        CASE WHEN NOT pg_has_role('pg_signal_backend', 'USAGE') THEN 'pg_signal_backend' END
      ], NULL)) AS lacking`,
    finding: ({ role, lacking }) => ({ what: `${role} lacks ${lacking}`, remedy: script }),
  },
  {
    name: 'public',
    sql: `SELECT FROM pg_namespace CROSS JOIN aclexplode(nspacl)
      WHERE nspname = 'public' AND grantee = 0 AND privilege_type = 'CREATE'`,
    finding: () => ({
      what: 'everybody may CREATE in the schema public',
      remedy: 'deploy/administrator.sql forbids it',
    }),
  },
  {
    name: 'public',
    sql: `SELECT string_agg(oid::regprocedure::text, ', ' ORDER BY oid::regprocedure::text) AS functions FROM pg_proc
      WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import')
        AND has_function_privilege('public', oid, 'EXECUTE')
      HAVING count(*) > 0`,
    finding: ({ functions }) => ({
      what: `everybody may make large objects, by ${functions}`,
      remedy: 'deploy/administrator.sql forbids it',
    }),
  },
  {
    name: 'registry',
    sql: `SELECT pg_class.oid::regclass AS name, pg_get_userbyid(relowner) = current_user AS own, relkind = 'S' AS sequence,
        array_to_string(array_agg(DISTINCT privilege_type), ', ') AS rights
      FROM pg_class CROSS JOIN aclexplode(relacl)
      WHERE relnamespace IN (to_regnamespace('public'), to_regnamespace('graphile_worker')) AND grantee = 0
      GROUP BY pg_class.oid, relowner, relkind ORDER BY 1`,
    finding: ({ name, own, sequence, rights }) => ({
      what: `everybody has ${rights} on ${name}`,
      remedy:
        own === true
          ? {
              as: 'service',
              sql: `REVOKE ALL ON ${sequence === true ? 'SEQUENCE' : 'TABLE'} ${name} FROM PUBLIC`,
            }
          : 'its owner can revoke that',
    }),
  },
];

/** What is wrong with the server and the registry's own part of it. */
export async function serverFindings(sql: SqlSession): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, sql: query, finding } of checks) {
    for (const row of await sql.query(query)) findings.push({ check: name, ...finding(row) });
  }
  return findings;
}

/** Whether the function is there that PgBouncer asks (deploy/pgbouncer). */
export async function hasPoolerFunction(sql: SqlSession): Promise<boolean> {
  const rows = await sql.query(
    `SELECT FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace WHERE nspname = 'pgbouncer' AND proname = 'tenant_login'`,
  );
  return rows.length > 0;
}
