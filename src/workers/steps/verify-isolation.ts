import { type Step, type StepContext, StepError } from '../step.ts';
import { isSuspended } from './access.ts';

const registryTables = [
  'public.tenants',
  'public.operations',
  'public.operation_steps',
  'public.provisioning_events',
  'public.audit_entries',
  'public.idempotency_keys',
  'public.tenant_credentials',
  'public.leases',
  'public.tenant_migrations',
  'public.registry',
  'public.encryption_keys',
];

// The server's own answers about a login, asked where its catalogs are at hand: a new session would have to load them.
// What is in a schema is found by its dependence on it: pg_class has no index for that, and would be read as a whole.
// A join with it would take longer to plan, and is planned anew for each tenant.
// Of the other tenants one stands for all. Parameters: login, owner, schema, the role that holds its
// rights, the registry's tables.
const rightsSql = `
SELECT
  NOT EXISTS (
    SELECT FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_namespace'::regclass
      AND refobjid = to_regnamespace($3::text)
      AND (SELECT relkind FROM pg_class WHERE pg_class.oid = objid) IN ('r', 'p')
      AND NOT (has_table_privilege($1, objid, 'SELECT') AND has_table_privilege($1, objid, 'INSERT')
           AND has_table_privilege($1, objid, 'UPDATE') AND has_table_privilege($1, objid, 'DELETE'))
  ) AS reachable,
  has_schema_privilege($1, to_regnamespace($3::text), 'CREATE') AS creates,
  pg_has_role($1, to_regrole($2), 'MEMBER') AS owns,
  has_schema_privilege($1, (
    SELECT oid FROM pg_namespace WHERE nspname BETWEEN 'tenant_' AND 'tenant_g' AND nspname <> $3::name LIMIT 1
  ), 'USAGE') AS sees,
  EXISTS (SELECT FROM pg_auth_members WHERE member = to_regrole($1) AND roleid <> to_regrole($4)) AS switches,
  (
    SELECT name FROM unnest($5::text[]) AS name
    WHERE has_any_column_privilege($1, name, 'SELECT, INSERT, UPDATE, REFERENCES')
       OR has_table_privilege($1, name, 'DELETE, TRUNCATE, TRIGGER')
    LIMIT 1
  ) AS "registryTable"`;

/** Proves that the tenant's `…_app` role reaches its own rows and nothing else, and that it can log in. */
export const verifyIsolation: Step = {
  probe: async () => false,
  async apply(context) {
    const { sql, names } = context;
    const [[rights], schemas] = await Promise.all([
      sql.query(rightsSql, [names.app, names.owner, names.schema, names.rows, registryTables]),
      // Who is suspended cannot show it, and needs not.
      isSuspended(context) ? null : schemasSeen(context),
    ]);
    if (rights?.reachable !== true) refuse('does not reach its own tables');
    if (rights?.owns !== false) refuse('becomes its owner; it must not');
    if (rights?.creates !== false) refuse('creates tables; it must not');
    if (rights?.sees === true) refuse('sees another tenant; it must not');
    if (rights?.switches !== false) refuse('is a member of roles outside of the tenant; it must not');
    if (rights?.registryTable) refuse(`has rights on ${rights.registryTable}; it must not`);
    if (schemas !== null && schemas !== `{${names.schema}}`) refuse('does not see its schema alone');
  },
};

/** What the tenant's `…_app` role finds on its search path, as PostgreSQL writes an array. */
async function schemasSeen(context: StepContext): Promise<unknown> {
  let schemas: unknown;
  await context.login(async (session) => {
    // A session that is new loads what it needs for the first time: this needs little.
    const [row] = await session.query('SELECT current_schemas(false) AS schemas');
    schemas = row?.schemas;
  });
  return schemas;
}

function refuse(deed: string): never {
  throw new StepError(`the login of the tenant ${deed}`);
}
