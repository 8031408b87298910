import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NotFoundError, UnavailableError } from '../../src/core/errors.ts';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { isUnavailable, lostToAnother, reachingDatabase, violatedConstraint } from '../../src/db/errors.ts';
import { createKeyRing } from '../../src/db/key-ring.ts';
import { createPool } from '../../src/db/pool.ts';
import { createRegistryClients, type RegistryClient } from '../../src/db/prisma-client.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { newTenant } from './registry-fixture.ts';

let parts: AsyncDisposableStack;
let database: TestDatabase;
let pool: pg.Pool;
let client: RegistryClient;

beforeAll(async () => {
  parts = new AsyncDisposableStack();
  database = parts.use(await createTestDatabase());
  pool = createPool(database.settings, { max: 5, name: 'errors', onError: () => {} });
  parts.defer(() => pool.end());
  const keyRing = createKeyRing([{ id: 'key', key: randomBytes(32) }], randomBytes(32));
  client = createRegistryClients(pool, keyRing).client;
  parts.defer(() => client.$disconnect());
});
afterAll(() => parts?.disposeAsync());

/** What the work throws. */
async function thrownBy(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

async function withPool<T>(
  settings: Partial<DatabaseSettings>,
  work: (pool: pg.Pool) => Promise<T>,
): Promise<T> {
  const other = createPool(
    { ...database.settings, ...settings },
    { max: 2, name: 'errors', onError: () => {} },
  );
  try {
    return await work(other);
  } finally {
    await other.end();
  }
}

/** A port of this machine on which `answer` is all that a client hears. */
async function onPort<T>(answer: 'nothing' | 'hangs up', work: (port: number) => Promise<T>): Promise<T> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const close = () => new Promise((resolve) => server.close(resolve));
  if (answer === 'nothing') await close();
  try {
    return await work(port);
  } finally {
    if (answer === 'hangs up') await close();
  }
}

describe('the database is out when', () => {
  test('nobody listens on its port', async () => {
    const error = await onPort('nothing', (port) =>
      withPool({ port }, (pool) => thrownBy(() => pool.query('SELECT'))),
    );
    expect(isUnavailable(error)).toBe(true);
  });

  test('it hangs up', async () => {
    const error = await onPort('hangs up', (port) =>
      withPool({ port }, (pool) => thrownBy(() => pool.query('SELECT'))),
    );
    expect(isUnavailable(error)).toBe(true);
  });

  test('its name is unknown', async () => {
    const error = await withPool({ host: 'nowhere.invalid' }, (pool) => thrownBy(() => pool.query('SELECT')));
    expect(isUnavailable(error)).toBe(true);
  });

  test('it has no room for another connection', async () => {
    const { administrator } = database;
    await asAdministrator(administrator, `ALTER DATABASE ${administrator.database} CONNECTION LIMIT 0`);
    try {
      const error = await withPool({}, (pool) => thrownBy(() => pool.query('SELECT')));
      expect(error).toMatchObject({ code: '53300' });
      expect(isUnavailable(error)).toBe(true);
    } finally {
      await asAdministrator(administrator, `ALTER DATABASE ${administrator.database} CONNECTION LIMIT -1`);
    }
  });

  test.each(['pg', 'Prisma', 'a transaction of Prisma'])(
    'it ends a session in the middle of a statement of %s',
    async (whose) => {
      const statement = 'SELECT pg_terminate_backend(pg_backend_pid())';
      const work = {
        pg: () => pool.query(statement),
        Prisma: () => client.$queryRawUnsafe(statement),
        'a transaction of Prisma': () =>
          client.$transaction(async (transaction) => transaction.$queryRawUnsafe(statement)),
      }[whose];
      if (work === undefined) throw new Error('unknown client');
      const error = await thrownBy(() => reachingDatabase(work));
      expect(error).toEqual(new UnavailableError());
    },
  );

  test('the pool is closed', async () => {
    const closed = createPool(database.settings, { max: 1, name: 'closed', onError: () => {} });
    await closed.end();
    expect(isUnavailable(await thrownBy(() => closed.query('SELECT')))).toBe(true);
  });
});

test('a statement that is wrong, or refused by a rule, says so instead', async () => {
  for (const sql of [
    'SELEC',
    'SELECT 1 / 0',
    'SELECT * FROM nothing',
    `SELECT 'x'::uuid`,
    'DELETE FROM tenants',
  ]) {
    const error = await thrownBy(() => reachingDatabase(() => pool.query(sql)));
    expect(error, sql).toBeInstanceOf(pg.DatabaseError);
    expect(lostToAnother(error)).toBe(false);
  }
});

test('a domain error passes as it is, whatever caused it', async () => {
  const domainError = new NotFoundError('tenant');
  domainError.cause = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
  expect(await thrownBy(() => reachingDatabase(() => Promise.reject(domainError)))).toBe(domainError);
  const unavailable = new UnavailableError();
  expect(await thrownBy(() => reachingDatabase(() => Promise.reject(unavailable)))).toBe(unavailable);
});

describe('the name of a violated constraint is read', () => {
  test('from pg and from Prisma, inside and outside a transaction', async () => {
    const tenant = newTenant();
    await client.tenant.create({ data: tenant });
    const data = { ...newTenant(), subdomain: tenant.subdomain };
    const insert = `INSERT INTO tenants (id, name, subdomain, contact_email, contact_email_index)
      SELECT gen_random_uuid(), name, subdomain, contact_email, contact_email_index FROM tenants WHERE id = '${tenant.id}'`;
    const other = newTenant();
    await client.tenant.create({ data: other });
    const works: (() => Promise<unknown>)[] = [
      () => pool.query(insert),
      () => client.$executeRawUnsafe(insert),
      () => client.tenant.create({ data }),
      () => client.tenant.update({ where: { id: other.id }, data: { subdomain: tenant.subdomain } }),
      () => client.$transaction((transaction) => transaction.tenant.create({ data })),
      () => client.$transaction((transaction) => transaction.$executeRawUnsafe(insert)),
    ];
    for (const work of works) {
      expect(violatedConstraint(await thrownBy(work)), String(work)).toBe('tenants_live_subdomain_key');
    }
  });

  test('and null for everything else', async () => {
    expect(violatedConstraint(await thrownBy(() => pool.query('SELECT 1 / 0')))).toBeNull();
    expect(
      violatedConstraint(await thrownBy(() => client.tenant.create({ data: { ...newTenant(), name: '' } }))),
    ).toBeNull();
    expect(violatedConstraint(new Error('x'))).toBeNull();
    expect(violatedConstraint(null)).toBeNull();
  });
});
