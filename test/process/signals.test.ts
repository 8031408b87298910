import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lockTenant, type TenantLock } from '../grpc/tenant-lock.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  createDirectory,
  type Directory,
  databaseArguments,
  devToken,
  processesOn,
  type RunningService,
  startService,
} from '../support/process.ts';
import {
  type Caller,
  completes,
  createTenant,
  type GraphqlAnswer,
  openStream,
  renameTenant,
  untilActive,
} from './calls.ts';

const renamed = { data: { updateTenant: { tenant: { name: 'Renamed' } } } };

let directory: Directory;
let database: TestDatabase;
let tenants = 0;

beforeAll(async () => {
  directory = await createDirectory();
  database = await createTestDatabase();
});

afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

describe('a running service', () => {
  test.each([{ signal: 'SIGTERM' as const }, { signal: 'SIGINT' as const }])(
    'told $signal ends what streams, finishes what is in flight, and exits with 0',
    async ({ signal }) => {
      await using service = await start();
      let answer: Promise<GraphqlAnswer>;
      {
        await using inFlight = await blockedRename(service);
        answer = inFlight.answer;
        const feed = await openStream(inFlight.caller, 'subscription { provisioningFeed { sequence } }');
        service.signal(signal);
        await service.logged('draining');
        // The stream ends at once, while the request still waits.
        expect(completes(await feed.rest)).toBe(true);
        await expect(openStream(inFlight.caller, '{ __typename }')).rejects.toThrow('ECONNREFUSED');
        expect(await inFlight.lock.waiting()).toBe(1);
      }
      expect(await answer).toEqual(renamed);
      expect(await service.end).toMatchObject({ code: 0, signal: null, stderr: '' });
    },
  );

  test('told twice at once, as by a Ctrl-C that npm passes on, drains like after one', async () => {
    await using service = await start(['npm', 'start', '--silent', '--']);
    let answer: Promise<GraphqlAnswer>;
    {
      await using inFlight = await blockedRename(service);
      answer = inFlight.answer;
      // The terminal's signal reaches npm and the service, and npm sends it on to the service.
      service.signalGroup('SIGINT');
      await service.logged('draining');
      expect(await inFlight.lock.waiting()).toBe(1);
    }
    expect(await answer).toEqual(renamed);
    expect(await service.end).toMatchObject({ code: 0, signal: null, stderr: '' });
  });

  test('told again a second later exits at once, whatever is in flight', async () => {
    await using service = await start();
    await using inFlight = await blockedRename(service);
    const cut = expect(inFlight.answer).rejects.toThrow();
    const first = performance.now();
    let ended = false;
    service.end.then(() => {
      ended = true;
    });
    await eventually(() => {
      if (!ended) service.signal('SIGTERM');
      return ended;
    }, 20_000);
    const seconds = (performance.now() - first) / 1000;
    expect(await service.end).toMatchObject({ code: 1, signal: null, stderr: '' });
    // Of the many none within the first second ended it, and it did not wait for its ten.
    expect(seconds).toBeGreaterThan(0.95);
    expect(seconds).toBeLessThan(8);
    await cut;
  });

  test.concurrent('cuts off a request that never ends, and exits with 0', async () => {
    await using service = await start();
    await using inFlight = await blockedRename(service);
    const cut = expect(inFlight.answer).rejects.toThrow();
    const first = performance.now();
    service.signal('SIGTERM');
    expect(await service.end).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect((performance.now() - first) / 1000).toBeGreaterThan(9.5);
    await cut;
    // Its statement went with it.
    await eventually(async () => (await inFlight.lock.waiting()) === 0, 5_000);
  });

  test.concurrent('does not wait for ever for a step of its worker, and the next one does that step', async () => {
    // A database of its own: the worker of another test must not take this step.
    await using own = await createDirectory();
    await using stuck = await createTestDatabase();
    const options = { dataDir: own.path, args: databaseArguments(stuck.settings) };
    await writeFile(join(own.path, '0001_slow.sql'), 'SELECT pg_sleep(120);\n');
    const callerOf = async ({ httpUrl }: RunningService) => ({
      url: httpUrl,
      token: await devToken(own.path),
    });
    const sleeping = async () => {
      const statements = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`;
      return (await asAdministrator(stuck.administrator, statements)).rowCount;
    };
    let tenantId: string;
    {
      const args = [...options.args, `--tenant-migrations=${own.path}`];
      await using service = await startService({ ...options, args });
      tenantId = await createTenant(await callerOf(service), 'stuck');
      await eventually(async () => (await sleeping()) === 1, 20_000);
      service.signal('SIGTERM');
      expect(await service.end).toMatchObject({ code: 0, signal: null, stderr: '' });
      await eventually(async () => (await sleeping()) === 0, 5_000);
    }
    await using next = await startService(options);
    await untilActive(await callerOf(next), tenantId);
  }, 60_000);

  test('with an embedded database stops that last, and nothing is left', async () => {
    await using own = await createDirectory();
    const dataDir = own.path;
    await using service = await startService({ dataDir });
    const caller = { url: service.httpUrl, token: await devToken(dataDir) };
    const feed = await openStream(caller, 'subscription { provisioningFeed { sequence } }');
    const id = await createTenant(caller, 'embedded');
    service.signal('SIGTERM');
    expect(completes(await feed.rest)).toBe(true);
    expect(await service.end).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(await processesOn(dataDir)).toEqual([]);

    // What was acknowledged and not done is done by the next one.
    await using next = await startService({ dataDir });
    await untilActive({ url: next.httpUrl, token: await devToken(dataDir) }, id);
  });
});

function start(command?: readonly string[]): Promise<RunningService> {
  const args = databaseArguments(database.settings);
  return command === undefined
    ? startService({ dataDir: directory.path, args })
    : startService({ dataDir: directory.path, args: ['--port=0', '--http-port=0', ...args], command });
}

async function callerOf(service: RunningService): Promise<Caller> {
  return { url: service.httpUrl, token: await devToken(directory.path) };
}

/** A request that waits for a row's lock as long as this is not disposed. */
async function blockedRename(
  service: RunningService,
): Promise<{ caller: Caller; answer: Promise<GraphqlAnswer>; lock: TenantLock } & AsyncDisposable> {
  const caller = await callerOf(service);
  tenants += 1;
  const tenantId = await createTenant(caller, `tenant-${tenants}`);
  await untilActive(caller, tenantId);
  const lock = await lockTenant(database.administrator, tenantId);
  const answer = renameTenant(caller, tenantId, 'Renamed');
  answer.catch(() => {});
  await eventually(async () => (await lock.waiting()) === 1, 10_000);
  return { caller, answer, lock, [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose]() };
}
