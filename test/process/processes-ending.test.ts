import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lockTenant } from '../grpc/tenant-lock.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  createDirectory,
  type Directory,
  databaseArguments,
  devToken,
  processesOn,
  type RunningService,
  runToEnd,
  startService,
} from '../support/process.ts';
import {
  type Caller,
  completes,
  createTenant,
  graphql,
  openStream,
  renameTenant,
  untilActive,
} from './calls.ts';
import { childrenOf, untilGone } from './several-processes.ts';

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

const start = (): Promise<RunningService> =>
  startService({
    dataDir: directory.path,
    // Whoever asks without a pause must not be refused for that.
    args: [...databaseArguments(database.settings), '--processes=2', '--rate-limit=0'],
  });
const callerOf = async ({ httpUrl }: RunningService): Promise<Caller> => ({
  url: httpUrl,
  token: await devToken(directory.path),
});
/** A request that waits for a row's lock as long as this is not disposed. */
async function blockedRename(caller: Caller) {
  const id = await createTenant(caller, `tenant-${++tenants}`);
  await untilActive(caller, id);
  const lock = await lockTenant(database.administrator, id);
  const answer = renameTenant(caller, id, 'Renamed');
  answer.catch(() => {});
  await eventually(async () => (await lock.waiting()) === 1, 10_000);
  return { answer, [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose]() };
}

describe('several processes', () => {
  test.each(['SIGTERM to the first', 'a Ctrl-C to all'])(
    'told to end by %s end what streams, finish what is in flight, and leave with 0',
    async (how) => {
      await using service = await start();
      const caller = await callerOf(service);
      const pids = await childrenOf(service.pid);
      const feeds = await Promise.all(
        Array.from({ length: 4 }, () => openStream(caller, 'subscription { provisioningFeed { sequence } }')),
      );
      let answer: ReturnType<typeof renameTenant>;
      {
        await using blocked = await blockedRename(caller);
        ({ answer } = blocked);
        if (how === 'a Ctrl-C to all') service.signalGroup('SIGINT');
        else service.signal('SIGTERM');
        for (const { rest } of feeds) expect(completes(await rest)).toBe(true);
        await eventually(
          () =>
            graphql(caller, '{ __typename }').then(
              () => false,
              (error) => /ECONNREFUSED/.test(String(error)),
            ),
          5_000,
        );
      }
      expect(await answer).toEqual({ data: { updateTenant: { tenant: { name: 'Renamed' } } } });
      expect(await service.end).toMatchObject({ code: 0, signal: null, stderr: '' });
      await untilGone(pids, 0);
    },
  );

  test('told again a second later end at once, whatever is in flight', async () => {
    await using service = await start();
    const pids = await childrenOf(service.pid);
    await using blocked = await blockedRename(await callerOf(service));
    const cut = expect(blocked.answer).rejects.toThrow();
    let ended = false;
    service.end.then(() => {
      ended = true;
    });
    await eventually(() => {
      if (!ended) service.signal('SIGTERM');
      return ended;
    }, 8_000);
    expect(await service.end).toMatchObject({ code: 1, stderr: '' });
    await untilGone(pids, 5_000);
    await cut;
  });

  test('replace one that is killed, while the other serves on', async () => {
    await using service = await start();
    const caller = await callerOf(service);
    const [killed = 0, other = 0] = await childrenOf(service.pid);
    let replaced = false;
    const unusual: unknown[] = [];
    let answered = 0;
    const ask = async () => {
      while (!replaced) {
        try {
          const answer = await graphql(caller, '{ tenants { nodes { id } } }');
          if (answer.errors === undefined) answered += 1;
          else unusual.push(answer);
        } catch (error) {
          unusual.push(error);
        }
      }
    };
    const asking = Promise.all([ask(), ask(), ask()]);
    await eventually(() => answered > 20, 10_000);
    process.kill(killed, 'SIGKILL');
    await service.logged('a process has taken the place of the one that died');
    const before = answered;
    await eventually(() => answered > before + 20, 10_000);
    replaced = true;
    await asking;
    // What it had in its hands broke off, and what it was handed when it was dead already; each asks one thing at a time.
    for (const error of unusual) expect(error).toBeInstanceOf(Error);
    expect(unusual.length).toBeLessThanOrEqual(6);
    const now = await childrenOf(service.pid);
    expect(now).toHaveLength(2);
    expect(now).toContain(other);
    expect(now).not.toContain(killed);
    await untilActive(caller, await createTenant(caller, 'after-the-kill'));
  });

  test('replace all of them, and the ports stay what they were', async () => {
    await using service = await start();
    const caller = await callerOf(service);
    const pids = await childrenOf(service.pid);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await untilGone(pids, 5_000);
    await eventually(async () => {
      const now = await childrenOf(service.pid);
      const answer = await graphql(caller, '{ __typename }');
      return now.length === 2 && answer.data?.__typename === 'Query';
    }, 30_000);
  });

  test('go with the first one when that is killed, and the next start recovers', async () => {
    await using own = await createDirectory();
    const dataDir = own.path;
    const options = { dataDir, args: ['--processes=2'] };
    let id: string;
    {
      await using service = await startService(options);
      const pids = await childrenOf(service.pid);
      id = await createTenant({ url: service.httpUrl, token: await devToken(dataDir) }, 'kept');
      service.signal('SIGKILL');
      await service.end;
      await untilGone(pids, 5_000);
    }
    await using next = await startService(options);
    await untilActive({ url: next.httpUrl, token: await devToken(dataDir) }, id);
    next.signal('SIGTERM');
    expect(await next.end).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(await processesOn(dataDir)).toEqual([]);
  });

  test('end all with exit code 2 when one cannot be replaced', async () => {
    await using own = await createTestDatabase();
    await using service = await startService({
      dataDir: directory.path,
      args: [...databaseArguments(own.settings), '--processes=2'],
    });
    const pids = await childrenOf(service.pid);
    await asAdministrator(
      { ...own.administrator, database: 'postgres' },
      `ALTER DATABASE ${own.settings.database} ALLOW_CONNECTIONS false`,
    );
    process.kill(pids[0] ?? 0, 'SIGKILL');
    const { code, stderr } = await service.end;
    expect(stderr).toMatch(
      /^--processes: a process does not come up, 5 times in a row: .*not currently accepting connections.*\n$/,
    );
    expect(code).toBe(2);
    await untilGone(pids, 0);
  }, 180_000);

  test('refuse to start with one line, as one does', async () => {
    await using other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' ? address?.port : null;
    const args = [
      ...databaseArguments(database.settings),
      '--processes=2',
      '--port=0',
      `--http-port=${port}`,
    ];
    const { code, stderr } = await runToEnd({ dataDir: directory.path, args });
    expect(stderr).toBe(
      `Cannot listen for HTTP on 127.0.0.1:${port}: another program listens there; choose another port with --http-port.\n`,
    );
    expect(code).toBe(2);
  });
});
