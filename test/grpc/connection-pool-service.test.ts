import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConnectionResponse } from '../../src/generated/proto/connectionpool/connection_pool.ts';
import { ConnectionPoolServiceService as rpc } from '../../src/generated/proto/connectionpool/connection_pool.ts';
import { issueToken } from '../../src/http/token.ts';
import { activeTenant, type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { schemaOf, settled } from '../workers/worker-app.ts';
import { type Caller, connect, failureOf } from './grpc-client.ts';
import { lockTenant } from './tenant-lock.ts';

let parts: AsyncDisposableStack;
let database: TestDatabase;
/** Two replicas on one database; the other one has no worker. */
let app: CoreApp;
let replica: CoreApp;
let caller: Caller;
let another: Caller;

beforeAll(async () => {
  parts = new AsyncDisposableStack();
  database = parts.use(await createTestDatabase());
  app = parts.use(await startCore({ database }));
  replica = parts.use(await startCore({ database, worker: false }));
  caller = parts.use(connect(app.app.grpcAddress, app.app.tokens.admin));
  another = parts.use(connect(replica.app.grpcAddress, app.app.tokens.admin));
}, 60_000);
afterAll(() => parts?.disposeAsync());

/** A tenant that came up. */
async function provisioned(): Promise<string> {
  const { tenant } = await app.core.tenants.create(editor, newTenant());
  expect((await settled(app, tenant.id)).tenant.status).toBe('ACTIVE');
  return tenant.id;
}

const take = (tenantId: string, dsn = '', by = caller) => by.unary(rpc.getConnection, { tenantId, dsn });
const release = (connectionId: string, by = caller) => by.unary(rpc.releaseConnection, { connectionId });

interface Holder extends AsyncDisposable {
  query(sql: string): Promise<Record<string, unknown>[]>;
  /** Whether it is still connected. */
  isAlive(): Promise<boolean>;
}

/** As an application connects with what it was given. */
async function logIn(lease: ConnectionResponse): Promise<Holder> {
  const { host, port, database: name, username: user, password } = lease;
  const client = new pg.Client({ host, port: Number(port), database: name, user, password });
  client.on('error', () => {});
  await client.connect();
  return {
    query: async (sql) => (await client.query(sql)).rows,
    isAlive: () =>
      client.query('SELECT').then(
        () => true,
        () => false,
      ),
    [Symbol.asyncDispose]: () => client.end().catch(() => {}),
  };
}

/** Why it is not let in: an SQLSTATE. */
async function refusal(lease: ConnectionResponse): Promise<unknown> {
  try {
    await using _ = await logIn(lease);
    return 'let in';
  } catch (error) {
    return Reflect.get(Object(error), 'code');
  }
}

const notPermitted = '28000';
const wrongPassword = '28P01';

const leasesOf = (id: string) =>
  app.sql('SELECT slot, subject FROM leases WHERE tenant_id = $1 AND ended_at IS NULL ORDER BY slot', [id]);

describe('a lease', () => {
  test('is a login that works on the rows of the tenant, until it is released', async () => {
    const id = await provisioned();
    const before = Date.now();
    const lease = await take(id);
    expect(lease).toEqual({
      connectionId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      error: '',
      host: database.settings.host,
      port: String(database.settings.port),
      database: database.settings.database,
      username: `${schemaOf(id)}_l1`,
      password: expect.stringMatching(/^[\w-]{43}$/),
      schema: schemaOf(id),
      expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      sslmode: 'disable',
    });
    const minutes = (Date.parse(lease.expiresAt) - before) / 60_000;
    expect(minutes).toBeGreaterThan(14.9);
    expect(minutes).toBeLessThan(15.5);

    await using holder = await logIn(lease);
    await holder.query(`INSERT INTO users (email, display_name) VALUES ('a@b.example', 'A')`);
    expect(await holder.query('SELECT current_schemas(false)::text[] AS path, email FROM users')).toEqual([
      { path: [schemaOf(id)], email: 'a@b.example' },
    ]);
    // Not twice at a time.
    expect(await refusal(lease)).toBe('53300');

    expect(await release(lease.connectionId)).toEqual({ success: true, error: '' });
    expect(await holder.isAlive()).toBe(false);
    expect(await refusal(lease)).toBe(notPermitted);
    expect(await leasesOf(id)).toEqual([]);
    expect(app.app.logged.join('\n')).not.toContain(lease.password);
  });

  test('is an independent client’s as well, that knows of the protocol what the server tells it', async () => {
    const id = await provisioned();
    const curl = async (method: string, request: object) => {
      const { stdout } = await promisify(execFile)(
        'node_modules/.bin/buf',
        [
          ...['curl', '--protocol', 'grpc', '--http2-prior-knowledge'],
          ...['-H', `authorization: Bearer ${app.app.tokens.admin}`, '-d', JSON.stringify(request)],
          `http://${app.app.grpcAddress}/connectionpool.ConnectionPoolService/${method}`,
        ],
        { env: { ...process.env, NO_PROXY: '*', HTTP_PROXY: '', http_proxy: '' } },
      );
      return JSON.parse(stdout);
    };
    const lease = await curl('GetConnection', { tenantId: id });
    {
      await using holder = await logIn(lease);
      expect(await holder.query('SELECT count(*)::int FROM projects')).toEqual([{ count: 0 }]);
    }
    expect(await curl('GetPoolStats', { tenantId: id })).toEqual({
      activeConnections: 1,
      totalConnections: 1,
    });
    expect(await curl('ReleaseConnection', { connectionId: lease.connectionId })).toEqual({ success: true });
    expect(await refusal(lease)).toBe(notPermitted);
  });

  test('is released by another replica than the one that gave it, once', async () => {
    const id = await provisioned();
    const lease = await take(id);
    await using holder = await logIn(lease);
    expect(await release(lease.connectionId.toUpperCase(), another)).toEqual({ success: true, error: '' });
    expect(await holder.isAlive()).toBe(false);
    const gone = {
      code: 'NOT_FOUND',
      message: 'There is no such lease; check the id, and whether it was released or has expired.',
      reason: 'NOT_FOUND',
      fields: [],
    };
    for (const by of [caller, another])
      expect(await failureOf(release(lease.connectionId, by))).toEqual(gone);
    expect(await failureOf(release(randomUUID()))).toEqual(gone);
  });

  test('is released by nobody but who took it, an admin or not', async () => {
    const id = await provisioned();
    const lease = await take(id);
    const token = await issueToken(app.app.secret, { subject: 'other', role: 'admin', expiresIn: 60 });
    using other = connect(app.app.grpcAddress, token);
    expect(await failureOf(release(lease.connectionId, other))).toEqual({
      code: 'PERMISSION_DENIED',
      message: 'The lease belongs to another subject; only who took it may release it.',
      reason: 'FORBIDDEN',
      fields: [],
    });
    await using holder = await logIn(lease);
    expect(await holder.isAlive()).toBe(true);
    await release(lease.connectionId);
  });

  test('leaves its slot to the next one, with another password and without its settings', async () => {
    const id = await provisioned();
    const first = await take(id);
    {
      await using holder = await logIn(first);
      await holder.query(`
        ALTER ROLE CURRENT_USER SET search_path TO pg_temp;
        ALTER ROLE CURRENT_USER SET statement_timeout TO 1;
        ALTER ROLE CURRENT_USER IN DATABASE ${first.database} SET search_path TO public`);
    }
    await release(first.connectionId);
    const second = await take(id);
    expect(second.username).toBe(first.username);
    expect(second.password).not.toBe(first.password);
    expect(await refusal(first)).toBe(wrongPassword);
    await using holder = await logIn(second);
    expect(
      await holder.query(
        `SELECT current_schemas(false)::text[] AS path, current_setting('statement_timeout') AS timeout`,
      ),
    ).toEqual([{ path: [schemaOf(id)], timeout: '0' }]);
  });

  test('whose holder has changed the password ends like others, and its successor knows it not', async () => {
    const id = await provisioned();
    const lease = await take(id);
    await using holder = await logIn(lease);
    await holder.query(`ALTER ROLE CURRENT_USER PASSWORD 'known to me'`);
    await release(lease.connectionId);
    expect(await refusal({ ...lease, password: 'known to me' })).toBe(notPermitted);
    await take(id);
    expect(await refusal({ ...lease, password: 'known to me' })).toBe(wrongPassword);
  });
});

describe('as many leases as the tier allows', () => {
  test('are given, each in the lowest slot that is free, by all replicas together', async () => {
    const id = await provisioned();
    const leases = await Promise.all([1, 2, 3, 4, 5].map((n) => take(id, '', n % 2 ? caller : another)));
    const slots = () => leasesOf(id).then((rows) => rows.map(({ slot }) => slot));
    expect(await slots()).toEqual([1, 2, 3, 4, 5]);
    for (const by of [caller, another]) {
      expect(await failureOf(take(id, '', by))).toEqual({
        code: 'RESOURCE_EXHAUSTED',
        message:
          "The tenant's tier allows 5 leases at once, and all are taken; release one, or wait until one expires.",
        reason: 'LIMIT_EXCEEDED',
        fields: [],
      });
    }
    const third = leases.find(({ username }) => username.endsWith('_l3'));
    await release(third?.connectionId ?? '');
    expect((await take(id)).username).toBe(`${schemaOf(id)}_l3`);
    expect(await slots()).toEqual([1, 2, 3, 4, 5]);
  });

  test('are given when more are asked for at once, and no slot twice', async () => {
    const id = await provisioned();
    const asked = Array.from({ length: 12 }, (_, n) => take(id, '', n % 2 ? caller : another));
    const ended = await Promise.allSettled(asked);
    const given = ended.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
    expect(given.map(({ username }) => username).sort()).toEqual(
      [1, 2, 3, 4, 5].map((slot) => `${schemaOf(id)}_l${slot}`),
    );
    for (const lease of given) {
      await using holder = await logIn(lease);
      expect(await holder.isAlive()).toBe(true);
    }
  });
});

describe('no lease', () => {
  const invalid = (field: string, description: string) => ({
    code: 'INVALID_ARGUMENT',
    message: `${field} ${description}`,
    reason: 'BAD_USER_INPUT',
    fields: [field],
  });

  test('is given or released for what is no UUID', async () => {
    expect(await failureOf(take('acme'))).toEqual(invalid('tenant_id', 'must be a UUID'));
    expect(await failureOf(take(''))).toEqual(invalid('tenant_id', 'must be a UUID'));
    expect(await failureOf(release('1'))).toEqual(invalid('connection_id', 'must be a UUID'));
    expect(await failureOf(caller.unary(rpc.getPoolStats, { tenantId: 'acme' }))).toEqual(
      invalid('tenant_id', 'must be a UUID'),
    );
  });

  test('is given for a connection string of somewhere else, which is neither dialled nor repeated', async () => {
    const id = await provisioned();
    const { host, port, database: name } = database.settings;
    const elsewhere = `postgres://admin:secret@db.example:5432/${name}`;
    expect(await failureOf(take(id, elsewhere))).toEqual(
      invalid(
        'dsn',
        "must be empty, or name the host, the port and the database of this service's own PostgreSQL",
      ),
    );
    await take(id, `host=${host} port=${port} dbname=${name} user=nobody password=none`);
    await take(id, `postgres://nobody:none@${host}:${port}/${name}?sslmode=disable`);
  });

  test('is given of a tenant that is unknown or deleted', async () => {
    const gone = {
      code: 'NOT_FOUND',
      message: 'There is no such tenant; check the id, and whether it was deleted.',
      reason: 'NOT_FOUND',
      fields: [],
    };
    expect(await failureOf(take(randomUUID()))).toEqual(gone);
    const id = await provisioned();
    await app.core.tenants.remove(editor, id);
    expect(await failureOf(take(id))).toEqual(gone);
    expect(await failureOf(caller.unary(rpc.getPoolStats, { tenantId: id }))).toEqual(gone);
    await settled(app, id);
    expect(await failureOf(take(id))).toEqual(gone);
  });

  test('is given of a tenant that is not up, or is about to change', async () => {
    await using own = await createTestDatabase();
    await using idle = await startCore({ database: own, worker: false });
    using by = connect(idle.app.grpcAddress, idle.app.tokens.admin);
    const { tenant } = await idle.core.tenants.create(editor, newTenant());
    const refused = (message: string) => ({
      code: 'FAILED_PRECONDITION',
      message,
      reason: 'INVALID_STATE',
      fields: [],
    });
    expect(await failureOf(take(tenant.id, '', by))).toEqual(
      refused("The tenant's PROVISION operation is not finished; wait for its end and try again."),
    );
    const id = await activeTenant(idle);
    const { operation } = await idle.core.tenants.suspend(editor, id);
    expect(await failureOf(take(id, '', by))).toEqual(
      refused("The tenant's SUSPEND operation is not finished; wait for its end and try again."),
    );
    await idle.sql(
      `UPDATE operations SET state = 'FAILED', error = 'tried', started_at = now(), finished_at = now() WHERE id = $1`,
      [operation.id],
    );
    expect(await failureOf(take(id, '', by))).toEqual(
      refused("The tenant's SUSPEND operation failed; retry it or cancel it, and try again."),
    );
    await idle.sql(`UPDATE operations SET state = 'SUCCEEDED', error = NULL WHERE id = $1`, [operation.id]);
    await idle.sql(`UPDATE tenants SET status = 'INACTIVE' WHERE id = $1`, [id]);
    expect(await failureOf(take(id, '', by))).toEqual(refused('The tenant is suspended; resume it first.'));
    // In the registry only.
    const bare = await activeTenant(idle);
    expect(await failureOf(take(bare, '', by))).toEqual(
      refused(
        `The role ${schemaOf(bare)}_rows is missing or not this registry's; the tenant was made by an earlier version, or changed since.`,
      ),
    );
    expect(await idle.sql('TABLE leases')).toEqual([]);
  });

  test('is given in a slot whose role is somebody else’s, which stays as it is', async () => {
    const id = await provisioned();
    const role = `${schemaOf(id)}_l1`;
    const administrator = new pg.Client(database.administrator);
    await administrator.connect();
    await administrator.query(`CREATE ROLE ${role}; COMMENT ON ROLE ${role} IS 'another registry'`);
    try {
      expect(await failureOf(take(id))).toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: `The role ${role} exists and is not this registry's.`,
      });
      await app.core.tenants.suspend(editor, id);
      expect((await settled(app, id)).tenant.status).toBe('INACTIVE');
      const { rows } = await administrator.query(
        `SELECT rolcanlogin, rolpassword, shobj_description(oid, 'pg_authid') AS mark FROM pg_authid WHERE rolname = $1`,
        [role],
      );
      expect(rows).toEqual([{ rolcanlogin: false, rolpassword: null, mark: 'another registry' }]);
    } finally {
      await administrator.query(`DROP ROLE ${role}`);
      await administrator.end();
    }
  });
});

describe('without a release', () => {
  test('a lease ends by itself, its session too, and its slot is free', async () => {
    await using own = await createTestDatabase();
    await using short = await startCore({
      database: own,
      timings: { connectionLeaseMs: 1_500, sweepIntervalMs: 100 },
    });
    using by = connect(short.app.grpcAddress, short.app.tokens.admin);
    const { tenant } = await short.core.tenants.create(editor, newTenant());
    await settled(short, tenant.id);
    const lease = await take(tenant.id, '', by);
    await using holder = await logIn(lease);
    expect(await holder.isAlive()).toBe(true);
    await eventually(async () => !(await holder.isAlive()), 10_000);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(lease.expiresAt));
    await eventually(async () => (await short.sql('TABLE leases')).length === 0, 10_000);
    // Its password has expired, and what comes next would be refused, too.
    expect(await refusal(lease)).toBe(wrongPassword);
    expect(
      await short.sql('SELECT rolcanlogin AS open FROM pg_roles WHERE rolname = $1', [lease.username]),
    ).toEqual([{ open: false }]);
    expect(await failureOf(release(lease.connectionId, by))).toMatchObject({ code: 'NOT_FOUND' });
    expect((await take(tenant.id, '', by)).username).toBe(lease.username);
  });

  test('nobody logs in any more when its time is over, with no worker to end it', async () => {
    await using own = await createTestDatabase();
    let tenantId = '';
    {
      await using working = await startCore({ database: own });
      tenantId = (await working.core.tenants.create(editor, newTenant())).tenant.id;
      await settled(working, tenantId);
    }
    await using idle = await startCore({
      database: own,
      worker: false,
      timings: { connectionLeaseMs: 500 },
    });
    using by = connect(idle.app.grpcAddress, idle.app.tokens.admin);
    const lease = await take(tenantId, '', by);
    await eventually(async () => (await refusal(lease)) === wrongPassword, 10_000);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(lease.expiresAt));
    expect(await idle.sql('SELECT id::text FROM leases WHERE ended_at IS NULL')).toEqual([
      { id: lease.connectionId },
    ]);
  });

  test('a session does not outlive it that nobody saw when it was ended', async () => {
    const id = await provisioned();
    const lease = await take(id);
    await using other = await logIn(await take(id));
    await using stray = await logIn(lease);
    // As if it had been logging in.
    await app.sql('DELETE FROM leases WHERE id = $1', [lease.connectionId]);
    await eventually(async () => !(await stray.isAlive()), 10_000);
    expect(await other.isAlive()).toBe(true);
  });

  test('nor is such a session in the way of the next one', async () => {
    await using own = await createTestDatabase();
    let tenantId = '';
    {
      await using working = await startCore({ database: own });
      tenantId = (await working.core.tenants.create(editor, newTenant())).tenant.id;
      await settled(working, tenantId);
    }
    await using idle = await startCore({ database: own, worker: false });
    using by = connect(idle.app.grpcAddress, idle.app.tokens.admin);
    const lease = await take(tenantId, '', by);
    await using stray = await logIn(lease);
    await idle.sql('DELETE FROM leases');
    await using next = await logIn(await take(tenantId, '', by));
    expect([await stray.isAlive(), await next.isAlive()]).toEqual([false, true]);
  });

  test('it ends when the tenant is suspended, and none comes back when that is resumed', async () => {
    const id = await provisioned();
    const leases = [await take(id), await take(id)];
    await using first = await logIn(leases[0] as ConnectionResponse);
    await app.core.tenants.suspend(editor, id);
    expect(await failureOf(take(id))).toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect((await settled(app, id)).tenant.status).toBe('INACTIVE');
    expect(await first.isAlive()).toBe(false);
    expect(await leasesOf(id)).toEqual([]);
    for (const lease of leases) expect(await refusal(lease)).toBe(notPermitted);
    await app.core.tenants.resume(editor, id);
    expect((await settled(app, id)).tenant.status).toBe('ACTIVE');
    for (const lease of leases) {
      expect(await refusal(lease)).toBe(notPermitted);
      expect(await failureOf(release(lease.connectionId))).toMatchObject({ code: 'NOT_FOUND' });
    }
    await using again = await logIn(await take(id));
    expect(await again.isAlive()).toBe(true);
  });

  test('it ends when the tenant is deleted, and does not come back with it', async () => {
    const id = await provisioned();
    const lease = await take(id);
    await using holder = await logIn(lease);
    await app.core.tenants.remove(editor, id);
    await settled(app, id);
    expect(await holder.isAlive()).toBe(false);
    expect(await leasesOf(id)).toEqual([]);
    await app.core.tenants.restore(editor, id);
    expect((await settled(app, id)).tenant.status).toBe('ACTIVE');
    expect(await refusal(lease)).toBe(notPermitted);
  });
});

describe('at the same time', () => {
  test('of two releases one succeeds, and a lease that is taken meanwhile lives', async () => {
    const id = await provisioned();
    for (let round = 0; round < 5; round++) {
      const { connectionId } = await take(id);
      const both = [release(connectionId), release(connectionId, another)];
      const next = take(id, '', another);
      const ends = await Promise.allSettled(both);
      expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const lease = await next;
      await using holder = await logIn(lease);
      expect(await holder.isAlive()).toBe(true);
      await release(lease.connectionId);
    }
  });

  test('as an expiry, a release does no harm, and the next lease of the slot lives', async () => {
    await using own = await createTestDatabase();
    await using one = await startCore({ database: own, timings: { sweepIntervalMs: 20 } });
    await using other = await startCore({ database: own, timings: { sweepIntervalMs: 20 } });
    using by = connect(one.app.grpcAddress, one.app.tokens.admin);
    const { tenant } = await one.core.tenants.create(editor, newTenant());
    await settled(one, tenant.id);
    for (let round = 0; round < 10; round++) {
      const old = await take(tenant.id, '', by);
      await one.sql(`UPDATE leases SET taken_at = now() - interval '2 s', expires_at = now() WHERE id = $1`, [
        old.connectionId,
      ]);
      await release(old.connectionId, by).catch(() => {});
      await eventually(async () => (await other.sql('TABLE leases')).length === 0, 10_000);
      const lease = await take(tenant.id, '', by);
      expect(lease.username).toBe(old.username);
      await using holder = await logIn(lease);
      await using watcher = await one.sql('SELECT pg_sleep(0.1)').then(() => holder);
      expect(await watcher.isAlive()).toBe(true);
      await release(lease.connectionId, by);
    }
    for (const { app: each } of [one, other]) {
      expect(each.logged.filter((line) => /lease/.test(line) && /"level":(40|50)/.test(line))).toEqual([]);
    }
  });

  test('as a suspension that is accepted a moment later, a lease is given, and ended by that', async () => {
    const id = await provisioned();
    const suspend = async (): Promise<[Promise<ConnectionResponse>, Promise<unknown>]> => {
      await using lock = await lockTenant(database.settings, id);
      const asked = take(id);
      await eventually(async () => (await lock.waiting()) === 1, 10_000);
      const suspended = app.core.tenants.suspend(editor, id);
      await eventually(async () => (await lock.waiting()) === 2, 10_000);
      return [asked, suspended];
    };
    const [asked, suspended] = await suspend();
    const lease = await asked;
    await suspended;
    expect((await settled(app, id)).tenant.status).toBe('INACTIVE');
    expect(lease).toMatchObject({ username: `${schemaOf(id)}_l1` });
    expect(await refusal(lease)).toBe(notPermitted);
    expect(await leasesOf(id)).toEqual([]);
  });
});

test('the statistics count the leases of all replicas', async () => {
  const id = await provisioned();
  const stats = (by = caller) => by.unary(rpc.getPoolStats, { tenantId: id });
  const none = { activeConnections: 0, idleConnections: 0, totalConnections: 0, error: '' };
  expect(await stats()).toEqual(none);
  const { connectionId } = await take(id);
  await take(id, '', another);
  for (const by of [caller, another]) {
    expect(await stats(by)).toEqual({ ...none, activeConnections: 2, totalConnections: 2 });
  }
  await release(connectionId);
  expect(await stats()).toEqual({ ...none, activeConnections: 1, totalConnections: 1 });
  expect(await failureOf(caller.unary(rpc.getPoolStats, { tenantId: randomUUID() }))).toMatchObject({
    code: 'NOT_FOUND',
  });
  const page = await (await fetch(`${replica.app.httpUrl}/metrics`)).text();
  const [{ count } = {}] = await app.sql('SELECT count(*)::int FROM leases WHERE ended_at IS NULL');
  expect(page).toContain(`\npool_leases ${count}\n`);
});
