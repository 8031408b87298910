import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { violatedConstraint } from '../../src/db/errors.ts';
import { createKeyRing, MissingKeyError, TamperedCiphertextError } from '../../src/db/key-ring.ts';
import { filledIn } from '../../src/db/middleware/field-encryption.ts';
import {
  createRegistryClients,
  type RegistryClient,
  type RegistryTransactionClient,
} from '../../src/db/prisma-client.ts';
import { newOperation, newTenant, openRegistry, plain, type RegistryFixture } from './registry-fixture.ts';

let registry: RegistryFixture;
let client: RegistryClient;
beforeAll(async () => {
  registry = await openRegistry();
  client = registry.client;
});
afterAll(() => registry[Symbol.asyncDispose]());

/** What the database holds, past all extensions. */
async function stored(id: string): Promise<{ contact_email: string; contact_email_index: string }> {
  const { rows } = await registry.pool.query(
    'SELECT contact_email, contact_email_index FROM tenants WHERE id = $1',
    [id],
  );
  return rows[0];
}

/** The address is stored as ciphertext for this tenant, and as its index, and in no other column. */
async function expectStored(id: string, address: string): Promise<void> {
  const { contact_email: sealed, contact_email_index: index } = await stored(id);
  expect(registry.keyRing.open(sealed, { tenantId: id, field: 'contactEmail' })).toBe(address);
  expect(index).toBe(registry.keyRing.emailIndex(address));
  const { rows } = await registry.pool.query('SELECT t::text AS row FROM tenants t WHERE id = $1', [id]);
  expect(rows[0].row).not.toContain(address);
}

describe('writing', () => {
  test('create stores ciphertext and index, and answers with the address', async () => {
    const tenant = newTenant();
    const created = await client.tenant.create({ data: tenant });
    expect(plain(created)).toEqual({
      ...tenant,
      contactEmailIndex: registry.keyRing.emailIndex(tenant.contactEmail),
      tier: 'standard',
      status: 'PROVISIONING',
      version: 1,
      schemaVersion: 0,
      createdAt: expect.any(Date),
      updatedAt: created.createdAt,
      deletedAt: null,
      operationId: null,
    });
    await expectStored(tenant.id, tenant.contactEmail);
  });

  test('an id in upper case seals for the tenant that PostgreSQL knows', async () => {
    const tenant = newTenant();
    await client.tenant.create({ data: { ...tenant, id: tenant.id.toUpperCase() } });
    await client.tenant.update({
      where: { id: tenant.id.toUpperCase() },
      data: { contactEmail: 'upper@example.com' },
    });
    await expectStored(tenant.id, 'upper@example.com');
  });

  test('createMany and createManyAndReturn seal every row for its own id', async () => {
    const tenants = [newTenant(), newTenant(), newTenant(), newTenant()];
    const [first, second, ...rest] = tenants;
    if (first === undefined || second === undefined) throw new Error('unreachable');
    expect(await client.tenant.createMany({ data: [first, second] })).toEqual({ count: 2 });
    const returned = await client.tenant.createManyAndReturn({
      data: rest,
      select: { id: true, contactEmail: true },
    });
    expect(plain(returned)).toEqual(rest.map(({ id, contactEmail }) => ({ id, contactEmail })));
    for (const tenant of tenants) await expectStored(tenant.id, tenant.contactEmail);
  });

  test('update, updateMany and updateManyAndReturn of one tenant seal anew', async () => {
    const { id, ...tenant } = newTenant();
    await client.tenant.create({ data: { id, ...tenant } });
    const updated = await client.tenant.update({
      where: { id },
      data: { contactEmail: { set: 'one@example.com' } },
    });
    expect(updated.contactEmail).toBe('one@example.com');
    await expectStored(id, 'one@example.com');
    await client.tenant.updateMany({ where: { id }, data: { contactEmail: 'two@example.com' } });
    await expectStored(id, 'two@example.com');
    const returned = await client.tenant.updateManyAndReturn({
      where: { id: { equals: id }, tier: 'standard' },
      data: { contactEmail: 'three@example.com' },
      select: { contactEmail: true },
    });
    expect(plain(returned)).toEqual([{ contactEmail: 'three@example.com' }]);
    await expectStored(id, 'three@example.com');
  });

  test('an update of other fields leaves the ciphertext as it is', async () => {
    const tenant = newTenant();
    await client.tenant.create({ data: tenant });
    const before = await stored(tenant.id);
    await client.tenant.update({
      where: { id: tenant.id },
      data: { name: 'Renamed', contactEmailIndex: filledIn },
    });
    await client.tenant.updateMany({ where: { name: 'Renamed' }, data: { tier: 'gold' } });
    expect(await stored(tenant.id)).toEqual(before);
  });

  test('upsert seals what it creates and what it updates', async () => {
    const tenant = newTenant();
    const upsert = (create: string, update: string) =>
      client.tenant.upsert({
        where: { id: tenant.id },
        create: { ...tenant, contactEmail: create },
        update: { contactEmail: update },
        select: { contactEmail: true },
      });
    expect(plain(await upsert('created@example.com', 'no@example.com'))).toEqual({
      contactEmail: 'created@example.com',
    });
    await expectStored(tenant.id, 'created@example.com');
    expect(plain(await upsert('no@example.com', 'updated@example.com'))).toEqual({
      contactEmail: 'updated@example.com',
    });
    await expectStored(tenant.id, 'updated@example.com');
  });

  test('inside transactions too, and a rollback leaves nothing', async () => {
    const [kept, batched, lost] = [newTenant(), newTenant(), newTenant()];
    await client.$transaction(async (tx) => {
      await tx.tenant.create({ data: kept });
      const found = await tx.tenant.findMany({
        where: { contactEmail: kept.contactEmail },
        select: { contactEmail: true },
      });
      expect(plain(found)).toEqual([{ contactEmail: kept.contactEmail }]);
    });
    await client.$transaction([
      client.tenant.create({ data: batched }),
      client.tenant.update({ where: { id: batched.id }, data: { contactEmail: 'batch@example.com' } }),
    ]);
    const failure = new Error('roll back');
    await expect(
      client.$transaction(async (tx) => {
        await tx.tenant.create({ data: lost });
        throw failure;
      }),
    ).rejects.toBe(failure);
    await expectStored(kept.id, kept.contactEmail);
    await expectStored(batched.id, 'batch@example.com');
    expect(await stored(lost.id)).toBeUndefined();
  });

  test('a function that takes a transaction works with either client', async () => {
    const rename = (db: RegistryTransactionClient, id: string) =>
      db.tenant.update({ where: { id }, data: { name: 'Either' }, select: { name: true } });
    const tenant = newTenant();
    await client.tenant.create({ data: tenant });
    expect(await client.$transaction((tx) => rename(tx, tenant.id))).toEqual({ name: 'Either' });
    expect(await rename(client, tenant.id)).toEqual({ name: 'Either' });
  });

  test('text that looks sealed is sealed like any other', async () => {
    const tenant = newTenant();
    const sealed = registry.keyRing.seal('x', { tenantId: tenant.id, field: 'contactEmail' });
    const created = await client.tenant.create({ data: { ...tenant, contactEmail: sealed } });
    expect(created.contactEmail).toBe(sealed);
    await expectStored(tenant.id, sealed);
  });

  test('an error about another argument does not tell the address', async () => {
    const tenant = newTenant();
    await client.tenant.create({ data: tenant });
    const taken = await client.tenant
      .create({ data: { ...newTenant(), subdomain: tenant.subdomain, contactEmail: 'secret@example.com' } })
      .catch((error: unknown) => error);
    expect(violatedConstraint(taken)).toBe('tenants_live_subdomain_key');
    const invalid = await client.tenant
      .findMany({ where: { contactEmail: 'secret@example.com', createdAt: 'no date' } })
      .catch((error: unknown) => error);
    expect(violatedConstraint(invalid)).toBeNull();
    for (const error of [taken, invalid]) {
      expect(error).toBeInstanceOf(Error);
      expect(`${error}${JSON.stringify(error)}`).not.toContain('secret@example.com');
    }
  });
});

describe('reading', () => {
  test('opens the address in every shape of result', async () => {
    const tenant = newTenant();
    const { id, contactEmail } = tenant;
    const operation = newOperation(id);
    await client.tenant.create({ data: tenant });
    await client.operation.create({ data: operation });
    await client.tenant.update({ where: { id }, data: { operationId: operation.id } });

    const ofOperation = { where: { id: operation.id } };
    const address = { select: { contactEmail: true } };
    expect(
      plain({
        selected: await client.tenant.findUnique({ where: { id }, ...address }),
        notSelected: await client.tenant.findUnique({ where: { id }, select: { name: true } }),
        omitted:
          'contactEmail' in
          (await client.tenant.findUniqueOrThrow({ where: { id }, omit: { contactEmail: true } })),
        withoutItsId: (await client.tenant.findFirstOrThrow({ where: { id }, omit: { id: true } }))
          .contactEmail,
        nested: await client.operation.findUnique({
          ...ofOperation,
          select: { tenant: address, newestFor: address },
        }),
        fluent: await client.operation.findUnique(ofOperation).tenant(address),
        twoDown: await client.tenant.findMany({
          where: { id },
          select: { contactEmail: true, operation: { select: { newestFor: address } } },
        }),
        included: (await client.operation.findUnique({ ...ofOperation, include: { tenant: true } }))?.tenant
          .contactEmail,
      }),
    ).toEqual({
      selected: { contactEmail },
      notSelected: { name: tenant.name },
      omitted: false,
      withoutItsId: contactEmail,
      nested: { tenant: { contactEmail }, newestFor: [{ contactEmail }] },
      fluent: { contactEmail },
      twoDown: [{ contactEmail, operation: { newestFor: [{ contactEmail }] } }],
      included: contactEmail,
    });
  });

  test('costs nothing until somebody looks', async () => {
    const tenant = newTenant();
    await client.tenant.create({ data: tenant });
    await using other = await openWithAnotherKey();
    const found = await other.client.tenant.findUniqueOrThrow({ where: { id: tenant.id } });
    expect(found.name).toBe(tenant.name);
    expect(() => found.contactEmail).toThrow(new MissingKeyError('first', tenant.id));
  });

  test('a ciphertext that was moved to another tenant does not open', async () => {
    const [victim, thief] = [newTenant(), newTenant()];
    await client.tenant.createMany({ data: [victim, thief] });
    await registry.pool.query(
      'UPDATE tenants SET contact_email = (SELECT contact_email FROM tenants WHERE id = $1) WHERE id = $2',
      [victim.id, thief.id],
    );
    const found = await client.tenant.findUniqueOrThrow({ where: { id: thief.id } });
    expect(() => found.contactEmail).toThrow(TamperedCiphertextError);
  });

  test('a ciphertext of another field does not open', async () => {
    const tenant = newTenant();
    await client.tenant.create({ data: tenant });
    await registry.pool.query('UPDATE tenants SET contact_email = $2 WHERE id = $1', [
      tenant.id,
      registry.keyRing.seal(tenant.contactEmail, { tenantId: tenant.id, field: 'password' }),
    ]);
    const found = await client.tenant.findUniqueOrThrow({ where: { id: tenant.id } });
    expect(() => found.contactEmail).toThrow(TamperedCiphertextError);
  });

  test('the database itself takes no plain address', async () => {
    const tenant = newTenant();
    await client.tenant.create({ data: tenant });
    await expect(
      registry.pool.query('UPDATE tenants SET contact_email = $2 WHERE id = $1', [
        tenant.id,
        tenant.contactEmail,
      ]),
    ).rejects.toThrow('tenants_contact_email_check');
  });

  async function openWithAnotherKey() {
    const keyRing = createKeyRing([{ id: 'second', key: randomBytes(32) }], randomBytes(32));
    const { client: other } = createRegistryClients(registry.pool, keyRing);
    return { client: other, [Symbol.asyncDispose]: () => other.$disconnect() };
  }
});

describe('finding by address', () => {
  const found = async (where: NonNullable<Parameters<typeof client.tenant.findMany>[0]>['where']) =>
    (
      await client.tenant.findMany({
        where: { AND: [{ tier: 'finding' }, where ?? {}] },
        orderBy: { name: 'asc' },
      })
    ).map((tenant) => tenant.name);
  const [ada, bob] = [
    { ...newTenant(), name: 'Ada', tier: 'finding', contactEmail: 'Ada@Example.com' },
    { ...newTenant(), name: 'Bob', tier: 'finding', contactEmail: 'bob@example.com' },
  ];
  const operation = newOperation(ada.id);
  beforeAll(async () => {
    await client.tenant.createMany({ data: [ada, bob] });
    await client.operation.create({ data: operation });
    await client.tenant.update({ where: { id: ada.id }, data: { operationId: operation.id } });
  });

  test('compares without case and outer blanks, in every form of equality', async () => {
    const address = ' ada@EXAMPLE.com ';
    expect({
      plain: await found({ contactEmail: address }),
      equals: await found({ contactEmail: { equals: address } }),
      in: await found({ contactEmail: { in: [address, 'x@example.com'] } }),
      notIn: await found({ contactEmail: { notIn: [address] } }),
      not: await found({ contactEmail: { not: address } }),
      notEquals: await found({ contactEmail: { not: { equals: address } } }),
      NOT: await found({ NOT: { contactEmail: address } }),
      OR: await found({ OR: [{ contactEmail: address }, { contactEmail: 'bob@example.com' }] }),
      AND: await found({ AND: [{ AND: { contactEmail: address } }, { name: 'Bob' }] }),
      nothing: await found({ contactEmail: 'carl@example.com' }),
      undefined: await found(JSON.parse('{}')),
    }).toEqual({
      plain: ['Ada'],
      equals: ['Ada'],
      in: ['Ada'],
      notIn: ['Bob'],
      not: ['Bob'],
      notEquals: ['Bob'],
      NOT: ['Bob'],
      OR: ['Ada', 'Bob'],
      AND: [],
      nothing: [],
      undefined: ['Ada', 'Bob'],
    });
  });

  test('works through relations, in nested arguments and in every operation', async () => {
    const where = { contactEmail: 'ada@example.com' };
    expect({
      single: await client.operation.count({ where: { tenant: where } }),
      is: await client.operation.count({ where: { tenant: { is: where } } }),
      isNot: await client.operation.count({ where: { id: operation.id, tenant: { isNot: where } } }),
      some: await client.operation.count({ where: { newestFor: { some: where } } }),
      nested: await client.operation.findUnique({
        where: { id: operation.id },
        select: {
          newestFor: { where, select: { name: true } },
          _count: { select: { newestFor: { where: { contactEmail: 'bob@example.com' } } } },
        },
      }),
      unique: (await client.tenant.findUnique({ where: { id: ada.id, ...where } }))?.name,
      count: await client.tenant.count({ where }),
      aggregate: await client.tenant.aggregate({
        where,
        _count: { contactEmail: true },
        _max: { name: true },
      }),
      groupBy: await client.tenant.groupBy({ by: ['name'], where }),
      updateMany: await client.tenant.updateMany({ where, data: { schemaVersion: 3 } }),
    }).toEqual({
      single: 1,
      is: 1,
      isNot: 0,
      some: 1,
      nested: { newestFor: [{ name: 'Ada' }], _count: { newestFor: 0 } },
      unique: 'Ada',
      count: 1,
      aggregate: { _count: { contactEmail: 1 }, _max: { name: 'Ada' } },
      groupBy: [{ name: 'Ada' }],
      updateMany: { count: 1 },
    });
  });
});
