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

// The server's own answers to the one who is logged in. One question: each costs a new session the most it will do.
// Parameters: schema, owner, another tenant's schema or null, the registry's tables.
const rightsSql = `
SELECT
  current_schemas(false) = ARRAY[$1::name] AS alone,
  NOT EXISTS (
    SELECT FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')
      AND NOT (SELECT bool_and(has_table_privilege(oid, kind)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS kind)
  ) AS reachable,
  has_schema_privilege(to_regnamespace($1), 'CREATE') AS creates,
  pg_has_role(to_regrole($2), 'MEMBER') AS owns,
  has_schema_privilege(to_regnamespace($3), 'USAGE') AS sees,
  (
    SELECT name FROM unnest($4::text[]) AS name,
      to_regclass(CASE WHEN has_schema_privilege('public', 'USAGE') THEN 'public.' || name END) AS relation
    WHERE has_any_column_privilege(relation, 'SELECT, INSERT, UPDATE, REFERENCES')
       OR has_table_privilege(relation, 'DELETE, TRUNCATE, TRIGGER')
    LIMIT 1
  ) AS "registryTable"`;

/** Proves from outside, logged in as the tenant's `…_app` role, that it reaches its own rows and nothing else. */
export const verifyIsolation: Step = {
  probe: async () => false,
  async apply(context) {
    const { names } = context;
    const neighbour = await anotherTenant(context);
    await context.login(async (session) => {
      const [found] = await session.query(rightsSql, [
        names.schema,
        names.owner,
        neighbour && tenantNames(neighbour).schema,
        registryTables,
      ]);
      const refuse = (deed: string) => {
        throw new Error(`the login of the tenant ${deed}`);
      };
      if (found?.alone !== true) refuse('does not see its schema alone');
      if (found?.reachable !== true) refuse('does not reach its own tables');
      if (found?.owns !== false) refuse('becomes its owner; it must not');
      if (found?.creates !== false) refuse('creates tables; it must not');
      if (found?.sees === true) refuse('sees another tenant; it must not');
      if (found?.registryTable) refuse(`has rights on public.${found.registryTable}; it must not`);
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
