import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { joinEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { findServer } from '../../src/db/postmaster-file.ts';
import { asAdministrator } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  createDirectory,
  databaseArguments,
  devToken,
  type ServiceProcess,
  spawnService,
  startService,
} from '../support/process.ts';
import { type Caller, createTenant, graphql, untilActive } from './calls.ts';
import { createFreshDatabase } from './fresh-database.ts';

describe('after kill -9 of the whole process group', () => {
  test('at any moment, with its PostgreSQL or without, the next start has every acknowledged tenant and brings it up', async () => {
    await using directory = await createDirectory();
    const dataDir = directory.path;
    const freePorts = ['--port=0', '--http-port=0'];
    const acknowledged: string[] = [];

    // The cluster is being made.
    await killed(dataDir, { args: freePorts, database: false }, () =>
      eventually(async () => (await readdir(dataDir)).some((name) => name.includes('.initdb-')), 20_000),
    );
    expect(existsSync(join(dataDir, 'postgres'))).toBe(false);

    // The cluster is there and its server starts.
    await killed(dataDir, { args: freePorts, database: true }, () =>
      eventually(async () => (await findServer(join(dataDir, 'postgres'))) !== null, 20_000),
    );

    // The registry's migration has begun.
    await killed(dataDir, { args: freePorts, database: false }, () =>
      eventually(() => hasTable(dataDir, '_prisma_migrations'), 20_000),
    );

    // Tenants are created and provisioned, without the database's death and with it; and nothing happens at all.
    for (const { moment, database } of [
      { moment: 'burst', database: false },
      { moment: 'another', database: true },
      { moment: 'idle', database: true },
    ]) {
      await killed(dataDir, { args: freePorts, database }, async (service) => {
        const { http } = await service.logged('ready');
        const caller = { url: `http://127.0.0.1:${http}`, token: await devToken(dataDir) };
        expect(await missing(caller, acknowledged)).toEqual([]);
        if (moment === 'idle') return;
        const enough = Promise.withResolvers<void>();
        let here = 0;
        for (let number = 1; number <= 12; number++) {
          createTenant(caller, `${moment}-${number}`).then(
            (id) => {
              acknowledged.push(id);
              here += 1;
              if (here === 8) enough.resolve();
            },
            () => {}, // the kill came before the answer
          );
        }
        await enough.promise;
      });
    }

    await using service = await startService({ dataDir });
    const caller = { url: service.httpUrl, token: await devToken(dataDir) };
    expect(acknowledged.length).toBeGreaterThanOrEqual(16);
    // Throws unless a tenant's events are 1, 2, 3 … to its being active.
    await Promise.all(acknowledged.map((id) => untilActive(caller, id)));
    const { schemas, tenants } = await eventually(async () => {
      const found = await schemasAndTenants(dataDir);
      return found.unfinished === '0' && found;
    }, 30_000);
    expect(schemas).toEqual(tenants);
    expect(tenants).toEqual(expect.arrayContaining(acknowledged.map(schemaOf).sort()));
  }, 120_000);

  test('in the middle of a migration, which its orphaned session then finishes, the next start waits for that', async () => {
    await using directory = await createDirectory();
    await using database = await createFreshDatabase();
    const { administrator, settings } = database;
    const options = { dataDir: directory.path, args: databaseArguments(settings) };
    // Holds the migration when it has made the table of tenants.
    await asAdministrator(
      administrator,
      `CREATE FUNCTION hold() RETURNS event_trigger LANGUAGE plpgsql AS $$
       BEGIN IF to_regclass('public.tenants') IS NOT NULL THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; END $$;
       CREATE EVENT TRIGGER hold ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION hold()`,
    );
    const holder = new pg.Client(administrator);
    await holder.connect();
    await holder.query('SELECT pg_advisory_lock(1)');
    const waiting = async () =>
      (
        await holder.query(
          'SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())',
        )
      ).rowCount;

    const first = spawnService({ ...options, args: [...options.args, '--port=0', '--http-port=0'] });
    await eventually(async () => (await waiting()) === 1, 30_000);
    first.signalGroup('SIGKILL');
    await first.end;

    const next = startService(options);
    next.catch(() => {});
    // Its predecessor's session still waits, and the next one for that.
    await eventually(async () => (await waiting()) === 2, 30_000);
    await holder.end();
    await using service = await next;
    const caller = { url: service.httpUrl, token: await devToken(directory.path) };
    await untilActive(caller, await createTenant(caller, 'acme'));
  }, 60_000);
});

/** Starts the service, kills its process group when `moment` has come, and its PostgreSQL with it if that is wanted. */
async function killed(
  dataDir: string,
  { args, database }: { args: readonly string[]; database: boolean },
  moment: (service: ServiceProcess) => Promise<unknown>,
): Promise<void> {
  // Not disposed of: that would end the PostgreSQL that is to be left behind.
  const service = spawnService({ dataDir, args });
  try {
    await moment(service);
  } finally {
    service.signalGroup('SIGKILL');
    await service.end;
  }
  const server = await findServer(join(dataDir, 'postgres'));
  if (database && server !== null) process.kill(server.process.pid, 'SIGKILL');
}

/** Those of the tenants that the service does not know. */
async function missing(caller: Caller, ids: readonly string[]): Promise<string[]> {
  const answer = await graphql(caller, 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids });
  const known = JSON.stringify(answer);
  return ids.filter((id) => !known.includes(id));
}

async function hasTable(dataDir: string, name: string): Promise<boolean> {
  const [row] = await query(dataDir, `SELECT to_regclass('public.${name}') IS NOT NULL AS there`);
  return row?.there === true;
}

async function schemasAndTenants(dataDir: string) {
  const [row] = await query(
    dataDir,
    `SELECT (SELECT array_agg(nspname::text ORDER BY nspname) FROM pg_namespace WHERE nspname LIKE 'tenant\\_%') AS schemas,
            (SELECT array_agg('tenant_' || replace(id::text, '-', '') ORDER BY id) FROM tenants) AS tenants,
            (SELECT count(*)::text FROM tenants WHERE status <> 'ACTIVE') AS unfinished`,
  );
  return row ?? {};
}

async function query(dataDir: string, sql: string): Promise<Record<string, unknown>[]> {
  const settings = await joinEmbeddedPostgres(dataDir);
  if (settings === null) return [];
  const client = new pg.Client(settings);
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

function schemaOf(id: string): string {
  return `tenant_${id.replaceAll('-', '')}`;
}
