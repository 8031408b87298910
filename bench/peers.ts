import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';
import type { DatabaseSettings } from '../src/db/database-settings.ts';
import { scramVerifier } from '../src/workers/scram.ts';
import type { Cluster } from './cluster.ts';
import type { Recording } from './recording.ts';

// What somebody would write with `pg` alone: no registry, no events, no retries. Each worker has a connection of the
// service's role, and sends a transaction in one round trip.

/** As many as the service gives to one administrator of roles (`src/workers/role-admin.ts`). */
const tenantsPerAdmin = 67;

export interface PeerOptions {
  readonly cluster: Cluster;
  /** A peer's own. */
  readonly database: string;
  readonly recording: Recording;
  readonly concurrency: number;
  /** Tenants to make. */
  readonly count: number;
}

/** The same DDL in as many transactions as the service, as many commits, and one login. @returns milliseconds */
export async function runBare(options: PeerOptions): Promise<number> {
  const { cluster, recording } = options;
  const settings = cluster.service(options.database);
  await cluster.query('CREATE TABLE IF NOT EXISTS bench (tenant_id uuid, number integer)', settings.database);
  await cluster.query(`GRANT INSERT ON bench TO ${settings.user}`, settings.database);
  return run(options, async (client, admin) => {
    const tenantId = randomUUID();
    const password = randomBytes(32).toString('base64url');
    const transactions = ddlFor(recording, tenantId, admin, await scramVerifier(password));
    for (const statements of transactions) await client.query(inTransaction(statements));
    for (let commit = transactions.length; commit < recording.commits; commit++) {
      await client.query('INSERT INTO bench VALUES ($1, $2)', [tenantId, commit]);
    }
    const user = `tenant_${tenantId.replaceAll('-', '')}_app`;
    const login = await connect({ ...settings, user, password });
    await login.query('SELECT current_schemas(false)');
    await login.end();
  });
}

/** Only the DDL, in one transaction and one round trip; passwords are hashed before. @returns milliseconds */
export async function runDdl(options: PeerOptions): Promise<number> {
  const verifier = await scramVerifier('');
  return run(options, async (client, admin) => {
    await client.query(inTransaction(ddlFor(options.recording, randomUUID(), admin, verifier).flat()));
  });
}

async function run(
  { cluster, database, concurrency, count }: PeerOptions,
  provision: (client: pg.Client, admin: string) => Promise<void>,
): Promise<number> {
  await using parts = new AsyncDisposableStack();
  const connected = Array.from({ length: concurrency }, async () => {
    const client = await connect(cluster.service(database));
    parts.defer(() => client.end());
    return client;
  });
  const clients = await Promise.all(connected);
  const prefix = `bench_${randomBytes(8).toString('hex')}`;
  const adminOf = (tenant: number) => `${prefix}_${Math.floor(tenant / tenantsPerAdmin)}`;
  const admins = [...new Set(Array.from({ length: count }, (_, tenant) => adminOf(tenant)))];
  for (const admin of admins) {
    await clients[0]?.query(
      `CREATE ROLE ${admin} NOLOGIN CREATEROLE; GRANT ${admin} TO SESSION_USER WITH INHERIT FALSE`,
    );
  }
  let begun = 0;
  const start = performance.now();
  await Promise.all(
    clients.map(async (client) => {
      while (begun < count) await provision(client, adminOf(begun++));
    }),
  );
  const milliseconds = performance.now() - start;
  await clients[0]?.query(`REVOKE ${admins} FROM SESSION_USER`);
  return milliseconds;
}

async function connect(database: DatabaseSettings): Promise<pg.Client> {
  const client = new pg.Client(database);
  // One that breaks fails its statement; without a listener it would end the process before it has tidied up.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/**
 * The recorded DDL, for another tenant. The service bounds how many roles one role administers; a peer does so too, with
 * roles that are made before the clock starts.
 */
function ddlFor({ tenantId, ddl }: Recording, other: string, admin: string, verifier: string): string[][] {
  const [from, to] = [tenantId, other].map((id) => id.replaceAll('-', ''));
  return ddl.map((statements) =>
    statements.map((sql) =>
      sql
        .replaceAll(tenantId, other)
        .replaceAll(from ?? '', to ?? '')
        .replaceAll(/\btms_[0-9a-f]{32}_roles_\d{5}\b/g, admin)
        .replace(/SCRAM-SHA-256\$[^']+/, () => verifier),
    ),
  );
}

function inTransaction(statements: readonly string[]): string {
  return ['BEGIN', ...statements, 'COMMIT'].join('\n;\n');
}
