import type pg from 'pg';
import type { SqlSession } from '../core/ports.ts';
import type { KeyRing } from '../db/key-ring.ts';
import { sqlSession } from '../db/sql-session.ts';
import type { TenantServer } from '../pools/tenant-session.ts';
import type { Finding } from './finding.ts';
import { leftoversOf, tenantIdOf } from './leftovers.ts';
import { loginFindings } from './password.ts';
import { nothingDone, type Patient, type RepairOutcome, repairAll } from './repair.ts';
import { roleAdminFindings } from './role-admin-checks.ts';
import { hasPoolerFunction, serverFindings } from './server-checks.ts';
import { findingsOf, reasonToSkip, type Standard } from './tenant-checks.ts';
import {
  endOf,
  namesOf,
  noObjects,
  objectsIn,
  type TenantFacts,
  type TenantObjects,
  tenantById,
  tenantsBehind,
} from './tenant-facts.ts';
import { inSnapshot, inTransaction } from './transactions.ts';

export interface DoctorOptions extends Standard {
  readonly pool: pg.Pool;
  readonly keyRing: KeyRing;
  readonly server: TenantServer;
  /** The pooler that leases name. */
  readonly pooler: Pick<TenantServer, 'host' | 'port'> | null;
  /** One tenant; null: all of them. */
  readonly tenantId: string | null;
  readonly fix: boolean;
  /** How many tenants are looked at in one go. */
  readonly batch?: number;
}

/** What the doctor says, one after the other; `subject` is the server, a tenant, or what is left of one. */
export type Statement =
  | { readonly kind: 'tenant'; readonly subject: string }
  | { readonly kind: 'skipped'; readonly subject: string; readonly what: string }
  | FindingStatement;

export interface FindingStatement {
  readonly kind: 'finding';
  readonly subject: string;
  readonly finding: Finding;
  readonly mended: boolean;
  /** Why PostgreSQL refused to have it mended. */
  readonly refusal: string | null;
}

/** The names of all tenants there can be. */
const everything = { from: 'tenant_', to: 'tenant_g' };

/**
 * Checks the server and its tenants, in the order of their ids, and mends when it is to. Changes nothing otherwise.
 * @throws when there is no such tenant
 */
export async function* examine(options: DoctorOptions): AsyncGenerator<Statement> {
  const { pool, registryId, tenantId, batch = 100 } = options;
  yield* examineServer(options);
  if (tenantId !== null) {
    const tenant = await tenantFacts(pool, registryId, tenantId);
    if (tenant === null) throw new Error(`--tenant: there is no tenant ${tenantId}`);
    yield* examineTenant(options, tenant);
    return;
  }
  let { from } = everything;
  let after: string | null = null;
  do {
    const { tenants, objects }: Batch = await nextBatch(pool, registryId, { from, after, batch });
    const known = new Set<string>();
    for (const tenant of tenants) {
      known.add(tenant.names.schema);
      yield* examineTenant(options, tenant);
    }
    for (const [schema, left] of objects) {
      if (!known.has(schema)) yield* examineLeftovers(options, schema, left);
    }
    const last: TenantFacts | undefined = tenants.at(-1);
    after = tenants.length < batch ? null : (last?.id ?? null);
    from = last === undefined ? from : endOf(last.names.schema);
  } while (after !== null);
}

async function* examineServer(options: DoctorOptions): AsyncGenerator<Statement> {
  const { pool, pooler, registryId } = options;
  const sql = sqlSession(pool);
  const subject = 'server';
  const find = async () => [...(await serverFindings(sql)), ...(await roleAdminFindings(sql, registryId))];
  yield* mending(options, subject, await find(), {
    repair: (findings) =>
      inTransaction(pool, (session) => repairAll(session, options, { role: '', tenantId: null }, findings)),
    again: find,
  });
  if (pooler !== null && !(await hasPoolerFunction(sql))) {
    const what =
      'PgBouncer’s function pgbouncer.tenant_login is missing, and --pooler-host or --pooler-port is given';
    const finding = { check: 'pooler', what, remedy: 'deploy/pgbouncer/administrator.sql makes it' };
    yield { kind: 'finding', subject, finding, mended: false, refusal: null };
  }
}

async function* examineTenant(options: DoctorOptions, tenant: TenantFacts): AsyncGenerator<Statement> {
  const { pool, registryId } = options;
  const subject = `tenant ${tenant.id} (${tenant.subdomain})`;
  const why = reasonToSkip(tenant);
  if (why !== null) return yield { kind: 'skipped', subject, what: why };
  const found = await allFindings(options, tenant);
  const now = found.length === 0 ? tenant : await tenantFacts(pool, registryId, tenant.id);
  if (now === null) return;
  // What looked wrong may have been on its way.
  if (isChanged(tenant, now)) return yield* examineTenant(options, now);
  yield { kind: 'tenant', subject };
  yield* mending(options, subject, found, {
    repair: (findings) => repairTenant(options, tenant, findings),
    async again() {
      const mended = await tenantFacts(pool, registryId, tenant.id);
      return mended === null ? [] : allFindings(options, mended);
    },
  });
}

function isChanged(tenant: TenantFacts, now: TenantFacts): boolean {
  const state = ({ status, deleted, schemaVersion, operation }: TenantFacts) =>
    JSON.stringify([status, deleted, schemaVersion, operation]);
  return state(tenant) !== state(now);
}

async function* examineLeftovers(
  options: DoctorOptions,
  schema: string,
  objects: TenantObjects,
): AsyncGenerator<Statement> {
  const { pool, registryId } = options;
  const [role = ''] = objects.roles.keys();
  const range = { from: schema, to: endOf(schema) };
  yield* mending(options, `leftover ${tenantIdOf(schema)}`, leftoversOf(schema, objects, registryId), {
    repair: (findings) =>
      inTransaction(pool, (sql) => repairAll(sql, options, { role, tenantId: null }, findings)),
    again: async () =>
      leftoversOf(schema, (await objectsIn(sqlSession(pool), range)).get(schema) ?? noObjects, registryId),
  });
}

interface Treatment {
  repair(findings: readonly Finding[]): Promise<RepairOutcome>;
  again(): Promise<readonly Finding[]>;
}

/** Tells the findings, after the treatment where there is one: mended is what is not found again. */
async function* mending(
  { fix }: DoctorOptions,
  subject: string,
  found: readonly Finding[],
  { repair, again }: Treatment,
): AsyncGenerator<FindingStatement> {
  const tell = (finding: Finding, mended: boolean, refusal: string | null = null): FindingStatement => ({
    kind: 'finding',
    subject,
    finding,
    mended,
    refusal,
  });
  if (!fix || found.every(({ remedy }) => typeof remedy === 'string')) {
    for (const finding of found) yield tell(finding, false);
    return;
  }
  const { refusals } = await repair(found);
  const left = await again();
  for (const finding of found) {
    const isLeft = left.some(({ what }) => what === finding.what);
    yield tell(finding, !isLeft, isLeft ? (refusals.get(finding.what) ?? null) : null);
  }
  for (const finding of left) {
    if (!found.some(({ what }) => what === finding.what)) yield tell(finding, false);
  }
}

/** What the catalogs say of it, and whether it gets in. */
async function allFindings(options: DoctorOptions, tenant: TenantFacts): Promise<readonly Finding[]> {
  const found = findingsOf(tenant, options);
  // What is not all this registry's is left alone altogether.
  if (found.some(({ check }) => check === 'marks')) return found;
  return [...found, ...(await loginFindings(sqlSession(options.pool), options, tenant))];
}

/** Nobody works on the tenant meanwhile: operations and leases begin by locking it. */
async function repairTenant(
  options: DoctorOptions,
  { id, names }: TenantFacts,
  found: readonly Finding[],
): Promise<RepairOutcome> {
  const { pool, registryId } = options;
  const patient: Patient = { role: names.owner, tenantId: id };
  const outcome = await inTransaction(pool, async (sql) => {
    await sql.query('SELECT FROM tenants WHERE id = $1 FOR UPDATE', [id]);
    const tenant = await readTenant(sql, registryId, id);
    if (tenant === null || reasonToSkip(tenant) !== null) return nothingDone;
    // Of what was found before, what is so still; that a login fails is not in the catalogs.
    const still = new Set(findingsOf(tenant, options).map(({ what }) => what));
    const current = found.filter(({ check, what }) => check === 'login' || still.has(what));
    return repairAll(sql, options, patient, current);
  });
  const ends = outcome.done.flatMap((repair) => repair.ends ?? []);
  await pool.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY($1)', [ends]);
  return outcome;
}

interface Batch {
  readonly tenants: readonly TenantFacts[];
  readonly objects: ReadonlyMap<string, TenantObjects>;
}

/** Tenants, and all that is under the names up to the last of them. */
function nextBatch(
  pool: pg.Pool,
  registryId: string,
  { from, after, batch }: { from: string; after: string | null; batch: number },
): Promise<Batch> {
  return inSnapshot(pool, async (sql) => {
    const rows = await tenantsBehind(sql, registryId, after, batch);
    const last = rows.length < batch ? undefined : rows.at(-1);
    const to = last === undefined ? everything.to : endOf(last.names.schema);
    const objects = await objectsIn(sql, { from, to });
    return {
      tenants: rows.map((row) => ({ ...row, objects: objects.get(row.names.schema) ?? noObjects })),
      objects,
    };
  });
}

function tenantFacts(pool: pg.Pool, registryId: string, id: string): Promise<TenantFacts | null> {
  return inSnapshot(pool, (sql) => readTenant(sql, registryId, id));
}

async function readTenant(sql: SqlSession, registryId: string, id: string): Promise<TenantFacts | null> {
  const tenant = await tenantById(sql, registryId, id);
  if (tenant === null) return null;
  const objects = await objectsIn(sql, namesOf(tenant.names));
  return { ...tenant, objects: objects.get(tenant.names.schema) ?? noObjects };
}
