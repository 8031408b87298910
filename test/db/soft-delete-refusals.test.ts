import { randomUUID } from 'node:crypto';
import { PrismaPg } from '@prisma/adapter-pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RefusedQueryError } from '../../src/db/middleware/query-rules.ts';
import { softDelete } from '../../src/db/middleware/soft-delete.ts';
import type { RegistryClient } from '../../src/db/prisma-client.ts';
import { PrismaClient } from '../../src/generated/prisma/client.ts';
import { newTenant, openRegistry, type RegistryFixture } from './registry-fixture.ts';

let registry: RegistryFixture;
let client: RegistryClient;
beforeAll(async () => {
  registry = await openRegistry();
  client = registry.client;
});
afterAll(() => registry[Symbol.asyncDispose]());

describe('what could show or change a deleted row is refused:', () => {
  const id = randomUUID();
  const key = { subject: 's', key: 'k' };
  const refused: [string, () => Promise<unknown>, string][] = [
    [
      'include of a single row',
      () => client.idempotencyKey.findMany({ include: { tenant: true } }),
      'IdempotencyKey.findMany include.tenant',
    ],
    [
      'select of a single row',
      () =>
        client.tenantCredential.findUnique({
          where: { tenantId: id },
          select: { tenant: { select: { id: true } } },
        }),
      'TenantCredential.findUnique select.tenant',
    ],
    [
      'a single row two levels down',
      () => client.tenant.findMany({ select: { idempotencyKeys: { select: { tenant: true } } } }),
      'Tenant.findMany select.idempotencyKeys.select.tenant',
    ],
    [
      'a single row by the fluent interface',
      () => client.idempotencyKey.findUnique({ where: { subject_key: key } }).tenant(),
      'IdempotencyKey.findUnique select.tenant',
    ],
    [
      'a single row in what a write returns',
      () =>
        client.idempotencyKey.update({
          where: { subject_key: key },
          data: { inputHash: '' },
          include: { tenant: true },
        }),
      'IdempotencyKey.update include.tenant',
    ],
    [
      'a filter for no related row',
      () => client.operation.findMany({ where: { tenant: JSON.parse('null') } }),
      'Operation.findMany where.tenant',
    ],
    [
      'order by a single row',
      () => client.idempotencyKey.findMany({ orderBy: [{ tenant: { name: 'asc' } }] }),
      'IdempotencyKey.findMany orderBy.tenant',
    ],
    [
      'order by the count of a list',
      () => client.operation.findMany({ orderBy: { newestFor: { _count: 'asc' } } }),
      'Operation.findMany orderBy.newestFor',
    ],
    [
      'a nested update',
      () => client.operation.update({ where: { id }, data: { tenant: { update: { name: 'x' } } } }),
      'Operation.update data.tenant.update',
    ],
    [
      'a nested update in its long form',
      () =>
        client.operation.update({
          where: { id },
          data: { newestFor: { update: { where: { id }, data: { name: 'x' } } } },
        }),
      'Operation.update data.newestFor.update',
    ],
    [
      'a nested updateMany',
      () =>
        client.operation.update({
          where: { id },
          data: { newestFor: { updateMany: { where: {}, data: { name: 'x' } } } },
        }),
      'Operation.update data.newestFor.updateMany',
    ],
    [
      'a nested delete',
      () => client.operation.update({ where: { id }, data: { newestFor: { delete: { id } } } }),
      'Operation.update data.newestFor.delete',
    ],
    [
      'a nested deleteMany',
      () => client.operation.update({ where: { id }, data: { newestFor: { deleteMany: {} } } }),
      'Operation.update data.newestFor.deleteMany',
    ],
    [
      'a nested set',
      () => client.operation.update({ where: { id }, data: { newestFor: { set: [] } } }),
      'Operation.update data.newestFor.set',
    ],
    [
      'a nested disconnect',
      () => client.operation.update({ where: { id }, data: { newestFor: { disconnect: { id } } } }),
      'Operation.update data.newestFor.disconnect',
    ],
    [
      'a nested upsert',
      () =>
        client.operation.update({
          where: { id },
          data: { tenant: { upsert: { create: newTenant(), update: {} } } },
        }),
      'Operation.update data.tenant.upsert',
    ],
    [
      'connectOrCreate',
      () =>
        client.operation.create({
          data: { id, kind: 'MIGRATE', tenant: { connectOrCreate: { where: { id }, create: newTenant() } } },
        }),
      'Operation.create data.tenant.connectOrCreate',
    ],
    [
      'a nested write two levels down',
      () =>
        client.tenant.update({
          where: { id },
          data: { operations: { update: { where: { id }, data: { newestFor: { set: [] } } } } },
        }),
      'Tenant.update data.operations.update.data.newestFor.set',
    ],
    [
      'an upsert that creates a deleted row',
      () => client.tenant.upsert({ where: { id }, create: { ...newTenant(), deletedAt: null }, update: {} }),
      'Tenant.upsert create.deletedAt',
    ],
    [
      'a nested write in an upsert',
      () =>
        client.operation.upsert({
          where: { id },
          create: { id, kind: 'MIGRATE', tenantId: id },
          update: { newestFor: { set: [] } },
        }),
      'Operation.upsert update.newestFor.set',
    ],
  ];
  test.each(refused)('%s', async (_case, run, place) => {
    const error = await run().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedQueryError);
    expect(`${error}`.startsWith(`RefusedQueryError: ${place}: `), `${error}`).toBe(true);
  });

  test('the visible relation too, when no option declares it', async () => {
    const strict = new PrismaClient({ adapter: new PrismaPg(registry.pool) }).$extends(
      softDelete({ visibleThrough: [] }),
    );
    await expect(strict.operation.findMany({ include: { tenant: true } })).rejects.toThrow(
      'Operation.findMany include.tenant: may be deleted, and a single related row cannot be filtered: read Tenant by its id, or name Operation.tenant in visibleThrough',
    );
    await strict.$disconnect();
  });

  test.each(['Operation.steps', 'Operation.newestFor', 'Tenant.operation', 'Nobody.tenant', 'tenant'])(
    'the option %j, which names no single deletable row',
    (path) => {
      expect(() => softDelete({ visibleThrough: [path] })).toThrow(
        `visibleThrough: ${path} is no relation to a single row that can be deleted`,
      );
    },
  );
});
