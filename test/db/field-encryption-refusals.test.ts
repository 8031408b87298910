import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RefusedQueryError } from '../../src/db/middleware/query-rules.ts';
import type { RegistryClient } from '../../src/db/prisma-client.ts';
import { newTenant, openRegistry, type RegistryFixture } from './registry-fixture.ts';

let registry: RegistryFixture;
let client: RegistryClient;
beforeAll(async () => {
  registry = await openRegistry();
  client = registry.client;
});
afterAll(() => registry[Symbol.asyncDispose]());

describe('what could only see ciphertext, or pass by the sealing, is refused:', () => {
  const id = randomUUID();
  const address = 'secret@example.com';
  const { id: _, ...withoutId } = { ...newTenant(), contactEmail: address };

  const refused: [string, () => Promise<unknown>, string][] = [
    [
      'contains',
      () => client.tenant.findMany({ where: { contactEmail: { contains: address } } }),
      'Tenant.findMany where.contactEmail.contains',
    ],
    [
      'startsWith',
      () => client.tenant.count({ where: { contactEmail: { startsWith: address } } }),
      'Tenant.count where.contactEmail.startsWith',
    ],
    [
      'gt',
      () => client.tenant.findFirst({ where: { contactEmail: { gt: address } } }),
      'Tenant.findFirst where.contactEmail.gt',
    ],
    [
      'a mode',
      () => client.tenant.findFirst({ where: { contactEmail: { equals: address, mode: 'insensitive' } } }),
      'Tenant.findFirst where.contactEmail.mode',
    ],
    [
      'not contains',
      () => client.tenant.findFirst({ where: { contactEmail: { not: { contains: address } } } }),
      'Tenant.findFirst where.contactEmail.not.contains',
    ],
    [
      'an empty filter',
      () => client.tenant.findFirst({ where: { contactEmail: {} } }),
      'Tenant.findFirst where.contactEmail',
    ],
    [
      'a comparison with a field',
      () => client.tenant.findFirst({ where: { contactEmail: { equals: client.tenant.fields.name } } }),
      'Tenant.findFirst where.contactEmail.equals',
    ],
    [
      'a filter by address and index at once',
      () => client.tenant.findFirst({ where: { contactEmail: address, contactEmailIndex: address } }),
      'Tenant.findFirst where.contactEmailIndex',
    ],
    [
      'a filter deep inside',
      () =>
        client.operation.findMany({
          where: { OR: [{ tenant: { NOT: { contactEmail: { endsWith: address } } } }] },
        }),
      'Operation.findMany where.OR.tenant.is.NOT.contactEmail.endsWith',
    ],
    [
      'a filter in a nested read',
      () =>
        client.operation.findMany({ include: { newestFor: { where: { contactEmail: { lt: address } } } } }),
      'Operation.findMany include.newestFor.where.contactEmail.lt',
    ],
    [
      'order',
      () => client.tenant.findMany({ orderBy: [{ name: 'asc' }, { contactEmail: 'asc' }] }),
      'Tenant.findMany orderBy.contactEmail',
    ],
    [
      'order through a relation',
      () => client.operation.findMany({ orderBy: { tenant: { contactEmail: 'asc' } } }),
      'Operation.findMany orderBy.tenant.contactEmail',
    ],
    [
      'order in a nested read',
      () => client.operation.findMany({ select: { newestFor: { orderBy: { contactEmail: 'asc' } } } }),
      'Operation.findMany select.newestFor.orderBy.contactEmail',
    ],
    ['distinct', () => client.tenant.findMany({ distinct: ['contactEmail'] }), 'Tenant.findMany distinct'],
    ['groupBy', () => client.tenant.groupBy({ by: ['contactEmail'] }), 'Tenant.groupBy by'],
    [
      'having',
      () => client.tenant.groupBy({ by: ['name'], having: { contactEmail: { _min: { gt: address } } } }),
      'Tenant.groupBy having.contactEmail',
    ],
    [
      '_min',
      () => client.tenant.aggregate({ _min: { contactEmail: true } }),
      'Tenant.aggregate _min.contactEmail',
    ],
    [
      '_max in groups',
      () => client.tenant.groupBy({ by: ['name'], _max: { contactEmail: true } }),
      'Tenant.groupBy _max.contactEmail',
    ],
    [
      'order by _max',
      () => client.tenant.groupBy({ by: ['name'], orderBy: { _max: { contactEmail: 'asc' } } }),
      'Tenant.groupBy orderBy._max.contactEmail',
    ],
    [
      'a cursor',
      () => client.tenant.findMany({ cursor: { id, contactEmail: address } }),
      'Tenant.findMany cursor.contactEmail',
    ],
    [
      'an index of the caller',
      () => client.tenant.create({ data: { ...newTenant(), contactEmailIndex: 'A'.repeat(43) } }),
      'Tenant.create data.contactEmailIndex',
    ],
    [
      'an index in an update',
      () => client.tenant.updateMany({ data: { contactEmailIndex: { set: 'A'.repeat(43) } } }),
      'Tenant.updateMany data.contactEmailIndex',
    ],
    [
      'an address for many',
      () => client.tenant.updateMany({ where: { tier: 'gold' }, data: { contactEmail: address } }),
      'Tenant.updateMany data.contactEmail',
    ],
    [
      'an address for any of two',
      () => client.tenant.updateMany({ where: { id: { in: [id, id] } }, data: { contactEmail: address } }),
      'Tenant.updateMany data.contactEmail',
    ],
    [
      'an address for another spelling of an id',
      () => client.tenant.update({ where: { id: id.replaceAll('-', '') }, data: { contactEmail: address } }),
      'Tenant.update data.contactEmail',
    ],
    [
      'no string',
      () => client.tenant.update({ where: { id }, data: { contactEmail: JSON.parse('null') } }),
      'Tenant.update data.contactEmail',
    ],
    [
      'a new id',
      () => client.tenant.update({ where: { id }, data: { id: randomUUID() } }),
      'Tenant.update data.id',
    ],
    [
      'a new id in an upsert',
      () => client.tenant.upsert({ where: { id }, create: newTenant(), update: { id: randomUUID() } }),
      'Tenant.upsert update.id',
    ],
    [
      'a nested create',
      () =>
        client.operation.create({ data: { id, kind: 'MIGRATE', tenant: { create: { id, ...withoutId } } } }),
      'Operation.create data.tenant.create',
    ],
    [
      'a nested create in a list',
      () =>
        client.operation.update({ where: { id }, data: { newestFor: { create: [{ id, ...withoutId }] } } }),
      'Operation.update data.newestFor.create',
    ],
    [
      'a nested createMany',
      () =>
        client.operation.update({
          where: { id },
          data: { newestFor: { createMany: { data: [{ id, ...withoutId }] } } },
        }),
      'Operation.update data.newestFor.createMany',
    ],
    [
      'connectOrCreate',
      () =>
        client.operation.create({
          data: {
            id,
            kind: 'MIGRATE',
            tenant: { connectOrCreate: { where: { id }, create: { id, ...withoutId } } },
          },
        }),
      'Operation.create data.tenant.connectOrCreate',
    ],
    [
      'a nested update',
      () =>
        client.operation.update({ where: { id }, data: { tenant: { update: { contactEmail: address } } } }),
      'Operation.update data.tenant.update',
    ],
    [
      'a nested updateMany',
      () =>
        client.operation.update({
          where: { id },
          data: { newestFor: { updateMany: { where: {}, data: { contactEmail: address } } } },
        }),
      'Operation.update data.newestFor.updateMany',
    ],
    [
      'a nested upsert',
      () =>
        client.operation.update({
          where: { id },
          data: { tenant: { upsert: { create: { id, ...withoutId }, update: { contactEmail: address } } } },
        }),
      'Operation.update data.tenant.upsert',
    ],
    [
      'a nested create two levels down',
      () =>
        client.tenant.update({
          where: { id },
          data: {
            operations: { create: { id, kind: 'MIGRATE', newestFor: { create: { id, ...withoutId } } } },
          },
        }),
      'Tenant.update data.operations.create.newestFor.create',
    ],
  ];

  test.each(refused)('%s', async (_case, run, place) => {
    const error = await run().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedQueryError);
    expect(`${error}`.startsWith(`RefusedQueryError: ${place}: `), `${error}`).toBe(true);
    expect(`${error}`).not.toContain(address);
  });

  test('in a transaction too', async () => {
    await expect(
      client.$transaction((tx) => tx.tenant.findMany({ orderBy: { contactEmail: 'asc' } })),
    ).rejects.toThrow(RefusedQueryError);
  });
});
