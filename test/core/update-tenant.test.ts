import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ForbiddenError,
  InvalidStateError,
  NotFoundError,
  SubdomainTakenError,
  VersionConflictError,
} from '../../src/core/errors.ts';
import { plain } from '../db/registry-fixture.ts';
import { graphqlClient } from '../http/graphql-client.ts';
import { actor } from '../support/actor.ts';
import {
  activeTenant,
  type CoreApp,
  countAll,
  editor,
  newTenant,
  outcomes,
  startCore,
  untilWaiting,
} from './core-app.ts';

let app: CoreApp;

beforeAll(async () => {
  app = await startCore({ worker: false });
});
afterAll(() => app?.[Symbol.asyncDispose]());

const create = async (input = newTenant()) => (await app.core.tenants.create(editor, input)).tenant;

/** The address as an admin reads it, and its index as it is stored. */
async function contactOf(id: string): Promise<{ address: string; index: string }> {
  const query = 'query ($id: ID!) { tenant(id: $id) { contactEmail } }';
  const data = await graphqlClient(app.app).data('admin', query, { id });
  const [row] = await app.sql('SELECT contact_email_index AS index FROM tenants WHERE id = $1', [id]);
  return {
    address: String(Reflect.get(Object(Reflect.get(Object(data), 'tenant')), 'contactEmail')),
    index: String(row?.index),
  };
}

describe('an update', () => {
  test('changes what is given, at the next version', async () => {
    const before = await create();
    const contact = await contactOf(before.id);
    const { subdomain } = newTenant();
    const after = await app.core.tenants.update(editor, {
      id: before.id.toUpperCase(),
      name: ' New name ',
      subdomain: subdomain.toUpperCase(),
      contactEmail: 'new@new.example',
      tier: 'gold',
    });
    expect(plain(after)).toEqual({
      ...before,
      name: 'New name',
      subdomain,
      tier: 'gold',
      version: before.version + 1,
      updatedAt: expect.any(Date),
    });
    expect(plain(await app.core.tenants.get(before.id))).toEqual(plain(after));
    expect(await contactOf(before.id)).toEqual({
      address: 'new@new.example',
      index: expect.not.stringMatching(contact.index),
    });
  });

  test.each<[string, Record<string, null>]>([
    ['nothing', {}],
    ['nulls alone', { name: null, subdomain: null, contactEmail: null, tier: null, expectedVersion: null }],
  ])('of %s changes nothing', async (_, changes) => {
    const before = await create();
    expect(plain(await app.core.tenants.update(editor, { id: before.id, ...changes }))).toEqual(
      plain(before),
    );
  });

  test('to what is there already changes nothing', async () => {
    const input = newTenant();
    const before = await create(input);
    expect(
      plain(await app.core.tenants.update(editor, { id: before.id, ...input, tier: 'standard' })),
    ).toEqual(plain(before));
  });

  test('of the case of an address alone is counted too', async () => {
    const before = await create();
    const contact = await contactOf(before.id);
    const contactEmail = contact.address.toUpperCase();
    const after = await app.core.tenants.update(editor, { id: before.id, contactEmail });
    expect(after.version).toBe(before.version + 1);
    expect(await contactOf(before.id)).toEqual({ address: contactEmail, index: contact.index });
  });

  test('to a taken subdomain is refused and leaves the rest unchanged too', async () => {
    const [before, other] = [await create(), await create()];
    const taken = app.core.tenants.update(editor, {
      id: before.id,
      name: 'Half',
      subdomain: other.subdomain,
    });
    await expect(taken).rejects.toEqual(new SubdomainTakenError(other.subdomain));
    expect(plain(await app.core.tenants.get(before.id))).toEqual(plain(before));
  });

  test('of an unknown or deleted tenant finds none', async () => {
    const { id } = await create();
    await app.core.tenants.remove(editor, id);
    for (const unknown of [id, randomUUID()]) {
      await expect(app.core.tenants.update(editor, { id: unknown, name: 'x' })).rejects.toEqual(
        new NotFoundError('tenant'),
      );
    }
  });

  test('goes through while an operation is unfinished', async () => {
    const { id, status } = await create();
    expect(await app.core.tenants.update(editor, { id, name: 'Meanwhile' })).toMatchObject({
      name: 'Meanwhile',
      status,
    });
  });
});

describe('an expected version', () => {
  test('that is the present one lets the update through', async () => {
    const { id, version } = await create();
    const after = await app.core.tenants.update(editor, { id, expectedVersion: version, name: 'Expected' });
    expect(after.version).toBe(version + 1);
  });

  test('that is another one refuses it and says the present one', async () => {
    const before = await create();
    const { id } = before;
    for (const expectedVersion of [before.version + 1, 2_147_483_647]) {
      const stale = app.core.tenants.update(editor, { id, expectedVersion, name: 'Stale' });
      await expect(stale).rejects.toEqual(new VersionConflictError(expectedVersion, before.version));
      await expect(stale).rejects.toMatchObject({ currentVersion: before.version });
    }
    expect(plain(await app.core.tenants.get(id))).toEqual(plain(before));
  });

  test('lets one of twenty updates at once through', async () => {
    const { id, version } = await create();
    const all = Array.from({ length: 20 }, (_, n) =>
      app.core.tenants.update(editor, { id, expectedVersion: version, name: `Number ${n}` }),
    );
    expect(await outcomes(all)).toEqual([...Array(19).fill('VERSION_CONFLICT'), 'done']);
    expect((await app.core.tenants.get(id)).version).toBe(version + 1);
  });

  test('left out lets all of them through, one version each', async () => {
    const { id, version } = await create();
    const all = Array.from({ length: 20 }, (_, n) =>
      app.core.tenants.update(editor, { id, name: `Number ${n}` }),
    );
    const versions = (await Promise.all(all)).map((tenant) => tenant.version - version);
    expect(versions.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
  });
});

describe('a status in an update', () => {
  test('that is the present one changes nothing, whoever sends it', async () => {
    const before = await create();
    for (const role of ['viewer', 'editor', 'admin'] as const) {
      const after = await app.core.tenants.update(actor(role, 'test'), { id: before.id }, 'PROVISIONING');
      expect(plain(after)).toEqual(plain(before));
    }
  });

  test('starts a SUSPEND in the transaction that renames, and answers the status as it is then', async () => {
    const id = await activeTenant(app);
    const after = await app.core.tenants.update(actor('admin', 'test'), { id, name: 'Both' }, 'INACTIVE');
    expect(after).toMatchObject({ name: 'Both', status: 'ACTIVE' });
    expect(await app.core.operations.find(after.operationId ?? '')).toMatchObject({
      tenantId: id,
      kind: 'SUSPEND',
      state: 'PENDING',
    });
  });

  test.each(['viewer', 'editor'] as const)('is refused from a %s, with the rename', async (role) => {
    const id = await activeTenant(app);
    const before = await countAll(app);
    const refused = app.core.tenants.update(actor(role, 'test'), { id, name: 'Both' }, 'INACTIVE');
    await expect(refused).rejects.toBeInstanceOf(ForbiddenError);
    expect((await app.core.tenants.get(id)).name).not.toBe('Both');
    expect(await countAll(app)).toEqual(before);
  });

  test.each(['ERROR', 'PROVISIONING'] as const)('cannot be set to %s', async (status) => {
    const id = await activeTenant(app);
    await expect(app.core.tenants.update(actor('admin', 'test'), { id }, status)).rejects.toEqual(
      new InvalidStateError(`A tenant cannot be set to ${status.toLowerCase()}; it is active.`),
    );
  });

  test('is refused while an operation is unfinished, with the rename', async () => {
    const before = await create();
    const refused = app.core.tenants.update(
      actor('admin', 'test'),
      { id: before.id, name: 'Both' },
      'ACTIVE',
    );
    await expect(refused).rejects.toBeInstanceOf(InvalidStateError);
    expect(plain(await app.core.tenants.get(before.id))).toEqual(plain(before));
  });
});

test('two renames that wait for each other both get an answer', async () => {
  const [mine, theirs] = [await create(), await create()];
  const other = new pg.Client(app.app.administrator);
  await other.connect();
  try {
    // So that PostgreSQL ends our transaction and not the other one.
    await other.query(`SET deadlock_timeout = '1h'; BEGIN`);
    const free = newTenant().subdomain;
    await other.query('UPDATE tenants SET subdomain = $2 WHERE id = $1', [theirs.id, free]);
    const ours = app.core.tenants.update(editor, { id: mine.id, subdomain: theirs.subdomain });
    await untilWaiting(app, 1);
    await other.query('UPDATE tenants SET tier = $2 WHERE id = $1', [mine.id, 'other']);
    await other.query('COMMIT');
    expect(await ours).toMatchObject({ subdomain: theirs.subdomain, tier: 'other' });
  } finally {
    await other.end();
  }
});
