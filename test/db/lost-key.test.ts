import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKeyRing, MissingKeyError, TamperedCiphertextError } from '../../src/db/key-ring.ts';
import { editor, newTenant } from '../core/core-app.ts';
import { graphqlClient } from '../http/graphql-client.ts';
import { type ProvisionedTenant, startTenantApp, type TenantApp } from '../support/tenant-app.ts';
import { settled } from '../workers/worker-app.ts';

let app: TenantApp;

beforeAll(async () => {
  app = await startTenantApp({ timings: { firstRetryMs: 20 } });
});
afterAll(() => app?.[Symbol.asyncDispose]());

/** Seals under a key that the service does not have, called `id`. */
const foreign = (id: string) => createKeyRing([{ id, key: randomBytes(32) }], randomBytes(32));
const lacking = 'encryption key "lost" is not in the key ring: add it to --encryption-keys';
const wrong =
  'a value under encryption key "key" does not open: it was altered, moved, or sealed under another key of that id';

async function create(): Promise<{ id: string; contactEmail: string }> {
  const input = newTenant();
  const { tenant } = await app.core.tenants.create(editor, input);
  return { id: tenant.id, contactEmail: input.contactEmail };
}

/** Seals the tenant's address under a foreign key. */
async function loseContact(tenantId: string, keyId: string): Promise<void> {
  const sealed = foreign(keyId).seal('ada@example.com', { tenantId, field: 'contactEmail' });
  await app.sql('UPDATE tenants SET contact_email = $2 WHERE id = $1', [tenantId, sealed]);
}

async function storePassword(tenantId: string, sealed: string): Promise<void> {
  await app.sql('UPDATE tenant_credentials SET password = $2 WHERE tenant_id = $1', [tenantId, sealed]);
}

describe('an address under a key that is', () => {
  test.each([
    ['missing', 'lost', lacking],
    ['another one of that name', 'key', wrong],
  ])('%s is an error of that tenant alone, which names the key', async (_, keyId, message) => {
    const [first, lost, last] = [await create(), await create(), await create()];
    await loseContact(lost.id, keyId);
    const ids = [first.id, lost.id, last.id];
    const { body } = await graphqlClient(app.app).run(
      'admin',
      'query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Tenant { contactEmail } } }',
      { ids },
    );
    const requestId = body.errors?.[0]?.extensions.requestId;
    expect(body).toEqual({
      data: { nodes: [first, { id: lost.id, contactEmail: null }, last] },
      errors: [
        {
          message: `${message}; the log has more under the request id ${requestId}.`,
          locations: [{ line: 1, column: 62 }],
          path: ['nodes', 1, 'contactEmail'],
          extensions: { code: 'INTERNAL', requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
        },
      ],
    });
    const line = app.app.logged.find((logged) => logged.includes(String(requestId)));
    expect(JSON.parse(line ?? '{}')).toMatchObject({ requestId, err: { keyId, tenantId: lost.id, message } });
  });

  test('missing does not hold up other changes, and another address takes its place', async () => {
    const { id } = await create();
    await loseContact(id, 'lost');
    const renamed = await app.core.tenants.update(editor, { id, name: 'Renamed' });
    expect(renamed.name).toBe('Renamed');
    const read = () =>
      graphqlClient(app.app).run('admin', 'query ($id: ID!) { tenant(id: $id) { contactEmail } }', { id });
    expect((await read()).body.errors?.[0]?.message).toContain(lacking);
    await app.core.tenants.update(editor, { id, contactEmail: 'new@example.com' });
    expect((await read()).body).toEqual({ data: { tenant: { contactEmail: 'new@example.com' } } });
  });
});

describe('a stored password', () => {
  let [victim, other]: ProvisionedTenant[] = [];
  beforeAll(async () => {
    [victim, other] = [await app.provision(), await app.provision()];
  });

  const use = (tenant: ProvisionedTenant | undefined) =>
    app.app.tenantPools.withTenant(tenant?.id ?? '', (session) => session.query('SELECT 1 AS one'));

  test('under a missing key fails that tenant’s connections and operations, and says which key', async () => {
    const { id } = await app.provision();
    const lost = foreign('lost').seal('secret', { tenantId: id, field: 'appPassword' });
    await storePassword(id, lost);
    await expect(app.app.tenantPools.withTenant(id, (session) => session.query('SELECT'))).rejects.toThrow(
      new MissingKeyError('lost', id),
    );
    expect(await use(other)).toEqual([{ one: 1 }]);
    await app.core.tenants.remove(editor, id);
    await settled(app, id);
    await app.core.tenants.restore(editor, id);
    const { operation } = await settled(app, id);
    expect(operation).toMatchObject({ kind: 'RESTORE', state: 'FAILED', error: lacking });
  });

  test.each<[string, (id: string, foreignId: string) => Promise<string>]>([
    [
      'of another tenant',
      async (_, foreignId) =>
        String(
          (await app.sql('SELECT password FROM tenant_credentials WHERE tenant_id = $1', [foreignId]))[0]
            ?.password,
        ),
    ],
    [
      'from another field',
      async (id) =>
        String((await app.sql('SELECT contact_email FROM tenants WHERE id = $1', [id]))[0]?.contact_email),
    ],
  ])('that is a ciphertext %s does not open', async (_, moved) => {
    const { id } = await app.provision();
    await storePassword(id, await moved(id, victim?.id ?? ''));
    await expect(app.app.tenantPools.withTenant(id, (session) => session.query('SELECT'))).rejects.toThrow(
      TamperedCiphertextError,
    );
  });
});
