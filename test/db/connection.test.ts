import { afterAll, beforeAll, expect, test } from 'vitest';
import { withConnection } from '../../src/db/connection.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.[Symbol.asyncDispose]());

test('a connection that breaks while it is idle fails its next statement, and nothing else', async () => {
  const work = withConnection(database.settings, { withinMs: 5_000 }, async (client) => {
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    await asAdministrator(database.administrator, `SELECT pg_terminate_backend(${rows[0].pid})`);
    // pg has noticed when it refuses; an event that nobody listens to would end the test run.
    for (;;) await client.query('SELECT');
  });
  await expect(work).rejects.toThrow(/not queryable|terminat/);
});
