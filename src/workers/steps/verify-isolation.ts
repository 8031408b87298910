import type { SqlSession } from '../../core/ports.ts';
import type { Step, StepContext } from '../step.ts';
import { tenantNames } from '../tenant-names.ts';

const registryTables = [
  'tenants',
  'operations',
  'operation_steps',
  'provisioning_events',
  'idempotency_keys',
  'tenant_credentials',
  'tenant_migrations',
  'registry',
  'encryption_keys',
];

/** Proves from outside, logged in as the tenant's `…_app` role, that it reaches its own rows and nothing else. */
export const verifyIsolation: Step = {
  probe: async () => false,
  async apply(context) {
    const { names } = context;
    const neighbour = await anotherTenant(context);
    await context.login(async (session) => {
      await reachesOwnTables(session, names.schema);
      await isRefused(session, 'SELECT FROM public.tenants', 'reads the registry');
      await reachesNothingOf(session, registryTables);
      await isRefused(session, `CREATE TABLE ${names.schema}.intruder ()`, 'creates tables');
      await isRefused(session, `SET ROLE ${names.owner}`, 'becomes its owner');
      if (neighbour !== null) {
        await isRefused(
          session,
          `SELECT FROM ${tenantNames(neighbour).schema}.intruder`,
          'sees another tenant',
        );
      }
    });
  },
};

async function anotherTenant({ sql, tenantId }: StepContext): Promise<string | null> {
  const [row] = await sql.query(
    `SELECT id FROM tenants WHERE id <> $1 AND schema_version > 0 AND deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 1`,
    [tenantId],
  );
  return typeof row?.id === 'string' ? row.id : null;
}

async function reachesOwnTables(session: SqlSession, schema: string): Promise<void> {
  const [found] = await session.query(
    `SELECT current_schemas(false) = ARRAY[$1::name] AS alone,
       NOT EXISTS (
         SELECT FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p')
           AND NOT (SELECT bool_and(has_table_privilege(oid, kind)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS kind)
       ) AS reachable`,
    [schema],
  );
  if (found?.alone !== true) throw new Error('the login of the tenant does not see its schema alone');
  if (found.reachable !== true) throw new Error('the login of the tenant does not reach its own tables');
}

async function reachesNothingOf(session: SqlSession, tables: readonly string[]): Promise<void> {
  const [found] = await session.query(
    `SELECT name FROM unnest($1::text[]) AS name,
       to_regclass(CASE WHEN has_schema_privilege('public', 'USAGE') THEN 'public.' || name END) AS relation
     WHERE has_any_column_privilege(relation, 'SELECT, INSERT, UPDATE, REFERENCES')
        OR has_table_privilege(relation, 'DELETE, TRUNCATE, TRIGGER')`,
    [tables],
  );
  if (found) throw new Error(`the login of the tenant has rights on public.${found.name}; it must not`);
}

/** Runs a statement that must fail for lack of rights (SQLSTATE 42501). */
async function isRefused(session: SqlSession, statement: string, deed: string): Promise<void> {
  try {
    await session.query(statement);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === '42501') return;
    // With the right to look, the table turns out not to exist.
    if (code !== '42P01') throw error;
  }
  throw new Error(`the login of the tenant ${deed}; it must not`);
}
