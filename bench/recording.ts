import type pg from 'pg';
import { eventually } from '../test/support/eventually.ts';
import type { Cluster } from './cluster.ts';
import { provision } from './provision.ts';
import { type LoggedStatement, readStatements } from './server-log.ts';
import { startService } from './service.ts';
import { writesOf } from './transaction-ids.ts';

/** What the service does in PostgreSQL for one tenant. */
export interface Recording {
  /** Whose DDL it is. */
  readonly tenantId: string;
  /** The statements that change the catalog, a list for each transaction that has any. */
  readonly ddl: readonly (readonly string[])[];
  /** How many it takes; what is written behind one has a transaction id of its own. */
  readonly savepoints: number;
  /** Transactions of the worker that write, those with DDL included: all but the create's. */
  readonly commits: number;
  /** How many statements it sends. */
  readonly statementCount: number;
  /** Time in the server by statement, per tenant; the longest first. */
  readonly statements: readonly StatementTime[];
}

export interface StatementTime {
  readonly sql: string;
  readonly count: number;
  readonly milliseconds: number;
}

const tenants = 40;

/**
 * Lets a service make tenants one after the other, in the database `recording`, and reads from the server's log what it
 * did. The peers send the very DDL that is found there, whatever the steps do.
 */
export async function record(cluster: Cluster): Promise<Recording> {
  const name = 'recording';
  await cluster.createDatabase(name);
  const started = { cluster, database: name, concurrency: 1 };
  // The registry's migrations are not of interest.
  await (await startService(started))[Symbol.asyncDispose]();
  await cluster.query(`ALTER DATABASE ${name} SET log_min_duration_statement = 0`);
  await using service = await startService(started);
  const administrator = await cluster.connect(name);
  await using _ = { [Symbol.asyncDispose]: () => administrator.end() };
  await administrator.query('SET log_min_duration_statement = -1');
  const run = (label: string, count: number) =>
    provision({ service, administrator, label, count, atOnce: 2 });

  await run('warm', tenants / 2);
  await mark(administrator, 'begin');
  const { writes, result } = await writesOf(administrator, tenants, () => run('recorded', tenants));
  await mark(administrator, 'end');
  const statements = await eventually(() => between(cluster.logDirectory, 'begin', 'end'), 10_000);
  const tenantId = result.ids.at(-1) ?? '';
  const ddl = ddlOf(statements, tenantId);
  if (!ddl.flat().some((sql) => sql.includes('CREATE SCHEMA')))
    throw new Error('the DDL of a tenant is not in the log as it is looked for');
  const savepoints = statements.filter(({ sql }) => sql.startsWith('SAVEPOINT')).length / tenants;
  return {
    tenantId,
    ddl,
    savepoints,
    // The create's is none of the worker's.
    commits: Math.round(writes - savepoints) - 1,
    statementCount: Math.round(statements.length / tenants),
    statements: timesOf(statements),
  };
}

/** Writes a mark into the server's log. */
export async function mark(client: pg.Client, text: string): Promise<void> {
  await client.query(`SET log_min_duration_statement = 0; SELECT 'mark: ${text}'`);
  await client.query('SET log_min_duration_statement = -1');
}

/** The statements between two marks in the log; null when the log does not have the second one yet. */
export async function between(
  directory: string,
  begin: string,
  end: string,
): Promise<LoggedStatement[] | null> {
  const all = await readStatements(directory);
  const [first, last] = [begin, end].map((text) =>
    all.findIndex(({ sql }) => sql.includes(`'mark: ${text}'`)),
  );
  return first === undefined || last === undefined || last < 0 ? null : all.slice(first + 1, last);
}

/** What the service sends without parameters, beside DDL and the record, which ends with COMMIT. */
const noDdl = /^\s*(SELECT|SAVEPOINT|RESET)\b/;

/** The statements that change the catalog, in each transaction that names the tenant. */
function ddlOf(statements: readonly LoggedStatement[], tenantId: string): string[][] {
  const names = [tenantId, tenantId.replaceAll('-', '')];
  const transactions: string[][] = [];
  const open = new Map<number, string[]>();
  for (const { pid, sql, hasParameters } of statements) {
    if (sql === 'BEGIN') open.set(pid, []);
    if (/\bCOMMIT$/.test(sql)) {
      const sent = open.get(pid) ?? [];
      if (sent.some((statement) => names.some((name) => statement.includes(name)))) transactions.push(sent);
      open.delete(pid);
    }
    if (sql !== 'BEGIN' && !hasParameters && !noDdl.test(sql)) open.get(pid)?.push(sql);
  }
  return transactions;
}

function timesOf(statements: readonly LoggedStatement[]): StatementTime[] {
  const kinds = Map.groupBy(statements, ({ sql }) => kindOf(sql));
  return [...kinds]
    .map(([sql, all]) => ({
      sql,
      count: all.length / tenants,
      milliseconds: all.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / tenants,
    }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

/** The beginning of a statement, or of what it makes, without what differs from tenant to tenant. */
function kindOf(sql: string): string {
  const text = sql
    .replace(/^\s*--.*$/gm, '')
    .replace(/\b(tenant|tms)_[0-9a-f]{32}/g, '$1_…')
    .replace(/\s+/g, ' ')
    .trim();
  const [made = text] = /\bCREATE (ROLE|SCHEMA|TABLE) .*/.exec(text) ?? [];
  return made.slice(0, 60);
}
