import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withCancellation } from '../../src/core/cancellation.ts';
import { withTenantSession } from '../../src/pools/tenant-session.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.[Symbol.asyncDispose]());

const login = <T>(work: Parameters<typeof withTenantSession<T>>[3], password = database.settings.password) =>
  withTenantSession(database.settings, database.settings.user, password, work);

const sessions = async (pid: unknown) =>
  (await asAdministrator(database.administrator, `SELECT FROM pg_stat_activity WHERE pid = ${pid}`)).rowCount;

describe('a session of a tenant', () => {
  test('answers what its work answers, and ends with it', async () => {
    const pid = await login(async ({ query }) => {
      const [row] = await query('SELECT pg_backend_pid() AS pid, $1::int AS given', [7]);
      expect(row?.given).toBe(7);
      expect(await sessions(row?.pid)).toBe(1);
      return row?.pid;
    });
    await eventually(async () => (await sessions(pid)) === 0, 10_000);
  });

  test('ends with work that fails, too', async () => {
    let pid: unknown;
    const failing = login(async ({ query }) => {
      [{ pid } = { pid: null }] = await query('SELECT pg_backend_pid() AS pid');
      await query('SELECT 1 / 0');
    });
    await expect(failing).rejects.toMatchObject({ code: '22012' });
    await eventually(async () => (await sessions(pid)) === 0, 10_000);
  });

  test('that the server ends fails its work and harms nobody else', async () => {
    const ended = login(async ({ query }) => {
      await query('SELECT pg_terminate_backend(pg_backend_pid())');
    });
    await expect(ended).rejects.toThrow(/terminat/);
  });

  test('is given up at once when nobody waits for it any more', async () => {
    const controller = new AbortController();
    const endless = withCancellation(controller.signal, () =>
      login(async ({ query }) => {
        const sleeping = query('SELECT pg_sleep(600)');
        controller.abort();
        await sleeping;
      }),
    );
    await expect(endless).rejects.toThrow(/terminated|closed/);
  });

  test('is refused with a wrong password', async () => {
    await expect(login(async () => {}, 'guessed')).rejects.toMatchObject({ code: '28P01' });
  });
});
