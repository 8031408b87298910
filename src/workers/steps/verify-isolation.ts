import { type Step, type StepContext, StepError } from '../step.ts';
import { tenantNames } from '../tenant-names.ts';
import { isSuspended } from './access.ts';

const registryTables = [
  'tenants',
  'operations',
  'operation_steps',
  'provisioning_events',
  'idempotency_keys',
  'tenant_credentials',
  'leases',
  'tenant_migrations',
  'registry',
  'encryption_keys',
];

// The server's own answers about a login, asked where its catalogs are at hand: a new session would have to load them.
// Parameters: login, owner, schema, another tenant's schema or null, the registry's tables, the role that holds its rights.
const rightsSql = `
SELECT
  NOT EXISTS (
    SELECT FROM pg_class WHERE relnamespace = to_regnamespace($3) AND relkind IN ('r', 'p')
      AND NOT (SELECT bool_and(has_table_privilege($1, oid, kind)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS kind)
  ) AS reachable,
  has_schema_privilege($1, to_regnamespace($3), 'CREATE') AS creates,
  pg_has_role($1, to_regrole($2), 'MEMBER') AS owns,
  has_schema_privilege($1, to_regnamespace($4), 'USAGE') AS sees,
  EXISTS (SELECT FROM pg_auth_members WHERE member = to_regrole($1) AND roleid <> to_regrole($6)) AS switches,
  (
    SELECT name FROM unnest($5::text[]) AS name, to_regclass('public.' || name) AS relation
    WHERE has_any_column_privilege($1, relation, 'SELECT, INSERT, UPDATE, REFERENCES')
       OR has_table_privilege($1, relation, 'DELETE, TRUNCATE, TRIGGER')
    LIMIT 1
  ) AS "registryTable"`;

/** Proves that the tenant's `…_app` role reaches its own rows and nothing else, and that it can log in. */
export const verifyIsolation: Step = {
  probe: async () => false,
  async apply(context) {
    const { sql, names } = context;
    const neighbour = await anotherTenant(context);
    const [rights] = await sql.query(rightsSql, [
      names.app,
      names.owner,
      names.schema,
      neighbour && tenantNames(neighbour).schema,
      registryTables,
      names.rows,
    ]);
    if (rights?.reachable !== true) refuse('does not reach its own tables');
    if (rights?.owns !== false) refuse('becomes its owner; it must not');
    if (rights?.creates !== false) refuse('creates tables; it must not');
    if (rights?.sees === true) refuse('sees another tenant; it must not');
    if (rights?.switches !== false) refuse('is a member of roles outside of the tenant; it must not');
    if (rights?.registryTable) refuse(`has rights on public.${rights.registryTable}; it must not`);
    // Who is suspended cannot show it, and needs not.
    if (isSuspended(context)) return;
    await context.login(async (session) => {
      const [found] = await session.query('SELECT current_schemas(false) = ARRAY[$1::name] AS alone', [
        names.schema,
      ]);
      if (found?.alone !== true) refuse('does not see its schema alone');
    });
  },
};

function refuse(deed: string): never {
  throw new StepError(`the login of the tenant ${deed}`);
}

async function anotherTenant({ sql, tenantId }: StepContext): Promise<string | null> {
  const [row] = await sql.query(
    `SELECT id FROM tenants WHERE id <> $1 AND schema_version > 0 AND deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 1`,
    [tenantId],
  );
  return typeof row?.id === 'string' ? row.id : null;
}
