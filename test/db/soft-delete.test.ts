import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { violatedConstraint } from '../../src/db/errors.ts';
import { liveOrDeleted } from '../../src/db/middleware/soft-delete.ts';
import type { RegistryClient } from '../../src/db/prisma-client.ts';
import {
  createLiveAndGone,
  newTenant,
  openRegistry,
  plain,
  type RegistryFixture,
} from './registry-fixture.ts';

let registry: RegistryFixture;
let client: RegistryClient;
beforeAll(async () => {
  registry = await openRegistry();
  client = registry.client;
});
afterAll(() => registry[Symbol.asyncDispose]());

/** What the database holds, past all extensions. */
async function stored(id: string) {
  const { rows } = await registry.pool.query('SELECT name, deleted_at FROM tenants WHERE id = $1', [id]);
  return rows[0];
}

type Pair = Awaited<ReturnType<typeof createLiveAndGone>>;
let tier: Pair['tier'];
let live: Pair['live'];
let gone: Pair['gone'];
let ofLive: Pair['ofLive'];
let ofGone: Pair['ofGone'];
beforeEach(async () => {
  ({ tier, live, gone, ofLive, ofGone } = await createLiveAndGone(client));
});

const name = { select: { name: true } } as const;

describe('delete', () => {
  test('sets deletedAt, answers with the row, and keeps it in the database', async () => {
    const tenant = { ...newTenant(), tier };
    const created = await client.tenant.create({ data: tenant });
    const deleted = await client.tenant.delete({ where: { id: tenant.id }, include: { operation: true } });
    const { deletedAt, updatedAt } = deleted;
    expect(plain(deleted)).toEqual(plain({ ...created, version: 2, updatedAt, deletedAt, operation: null }));
    expect(deletedAt).toBeInstanceOf(Date);
    expect(await stored(tenant.id)).toEqual({ name: tenant.name, deleted_at: deleted.deletedAt });
  });

  test('of a deleted row is as of one that never was', async () => {
    const before = await stored(gone.id);
    const failures = await Promise.all(
      [
        { id: gone.id },
        { id: gone.id, deletedAt: { not: null } },
        { id: gone.id, AND: [liveOrDeleted] },
        { id: randomUUID() },
      ].map((where) => client.tenant.delete({ where }).catch((error: unknown) => error)),
    );
    expect(failures).toEqual(failures.map(() => expect.objectContaining({ code: 'P2025' })));
    expect(await stored(gone.id)).toEqual(before);
  });

  test('deleteMany deletes the live rows that match', async () => {
    const before = await stored(gone.id);
    expect(await client.tenant.deleteMany({ where: { OR: [{ tier }, { tier: '' }] } })).toEqual({ count: 1 });
    expect(await client.tenant.deleteMany({ where: { tier } })).toEqual({ count: 0 });
    expect(await client.tenant.deleteMany({ where: { tier, deletedAt: { not: null } } })).toEqual({
      count: 0,
    });
    expect(await stored(live.id)).toEqual({ name: 'Live', deleted_at: expect.any(Date) });
    expect(await stored(gone.id)).toEqual(before);
  });

  test('works in a batch and in an interactive transaction, and rolls back with it', async () => {
    const [batched, lost] = [newTenant(), newTenant()];
    await client.tenant.createMany({ data: [batched, lost] });
    const where = { id: { in: [batched.id, lost.id] } };
    const [deleted, count, many] = await client.$transaction([
      client.tenant.delete({ where: { id: batched.id }, ...name }),
      client.tenant.count({ where }),
      client.tenant.deleteMany({ where: { id: batched.id } }),
    ]);
    expect({ deleted, count, many }).toEqual({
      deleted: { name: batched.name },
      count: 1,
      many: { count: 0 },
    });

    const failure = new Error('roll back');
    await expect(
      client.$transaction(async (tx) => {
        await tx.tenant.delete({ where: { id: lost.id } });
        expect(await tx.tenant.findMany({ where })).toEqual([]);
        expect(await client.tenant.count({ where })).toBe(1);
        throw failure;
      }),
    ).rejects.toBe(failure);
    await expect(
      client.$transaction([
        client.tenant.deleteMany({ where }),
        client.tenant.delete({ where: { id: lost.id } }),
      ]),
    ).rejects.toMatchObject({ code: 'P2025' });
    expect(await client.tenant.findMany({ where, ...name })).toEqual([{ name: lost.name }]);
  });

  test('frees the subdomain, and only once', async () => {
    const again = { ...newTenant(), subdomain: gone.subdomain };
    await client.tenant.create({ data: again });
    const conflicts = [
      await client.tenant
        .create({ data: { ...newTenant(), subdomain: gone.subdomain } })
        .catch(violatedConstraint),
      await client.tenant
        .update({ where: { id: gone.id, deletedAt: { not: null } }, data: { deletedAt: null } })
        .catch(violatedConstraint),
    ];
    expect(conflicts).toEqual(['tenants_live_subdomain_key', 'tenants_live_subdomain_key']);
    await client.tenant.delete({ where: { id: again.id } });
    await client.tenant.update({
      where: { id: gone.id, deletedAt: { not: null } },
      data: { deletedAt: null },
    });
    expect(await client.tenant.findMany({ where: { subdomain: gone.subdomain }, ...name })).toEqual([
      { name: 'Gone' },
    ]);
  });

  test('of a model without deletedAt stays what it is', async () => {
    const key = { subject: 'me', key: randomUUID() };
    await client.idempotencyKey.create({
      data: { ...key, inputHash: '', tenantId: live.id, expiresAt: new Date(Date.now() + 60_000) },
    });
    await client.idempotencyKey.delete({ where: { subject_key: key } });
    expect(await client.idempotencyKey.count({ where: key })).toBe(0);
  });
});

describe('a deleted row does not exist', () => {
  test('for any read', async () => {
    const id = gone.id;
    const where = { tier };
    expect({
      findUnique: await client.tenant.findUnique({ where: { id } }),
      findUniqueOrThrow: await client.tenant
        .findUniqueOrThrow({ where: { id } })
        .catch((error) => error.code),
      findFirst: await client.tenant.findFirst({ where: { id } }),
      findFirstOrThrow: await client.tenant.findFirstOrThrow({ where: { id } }).catch((error) => error.code),
      findMany: await client.tenant.findMany({ where, ...name }),
      cursor: await client.tenant.findMany({ where, cursor: { id }, orderBy: { name: 'asc' }, ...name }),
      count: await client.tenant.count({ where }),
      countOf: await client.tenant.count({ where, select: { _all: true, name: true } }),
      aggregate: await client.tenant.aggregate({ where, _count: true, _min: { name: true } }),
      groupBy: await client.tenant.groupBy({ by: ['name'], where, _count: { _all: true } }),
      groupOfGone: await client.tenant.groupBy({
        by: ['tier'],
        where: { id },
        having: { name: { _count: { gte: 0 } } },
      }),
    }).toEqual({
      findUnique: null,
      findUniqueOrThrow: 'P2025',
      findFirst: null,
      findFirstOrThrow: 'P2025',
      findMany: [{ name: 'Live' }],
      cursor: [],
      count: 1,
      countOf: { _all: 1, name: 1 },
      aggregate: { _count: 1, _min: { name: 'Live' } },
      groupBy: [{ name: 'Live', _count: { _all: 1 } }],
      groupOfGone: [],
    });
  });

  test('without any arguments either', async () => {
    const all = await client.tenant.findMany();
    expect(all.some((tenant) => tenant.id === gone.id)).toBe(false);
    expect(all.some((tenant) => tenant.id === live.id)).toBe(true);
    expect(await client.tenant.count()).toBe(all.length);
    expect((await client.tenant.aggregate({ _count: true }))._count).toBe(all.length);
    expect((await client.tenant.findFirst({ orderBy: { deletedAt: 'asc' } }))?.deletedAt).toBeNull();
  });

  test('for batched findUnique calls, which Prisma joins into one query', async () => {
    const ids = [gone.id, live.id, randomUUID()];
    const found = await Promise.all(ids.map((id) => client.tenant.findUnique({ where: { id }, ...name })));
    expect(found).toEqual([null, { name: 'Live' }, null]);
  });

  test('for updates', async () => {
    const data = { name: 'Changed' };
    expect({
      update: await client.tenant.update({ where: { id: gone.id }, data }).catch((error) => error.code),
      updateMany: await client.tenant.updateMany({ where: { id: gone.id }, data }),
      updateManyAndReturn: plain(
        await client.tenant.updateManyAndReturn({ where: { tier }, data, select: { id: true, name: true } }),
      ),
      gone: (await stored(gone.id)).name,
    }).toEqual({
      update: 'P2025',
      updateMany: { count: 0 },
      updateManyAndReturn: [{ id: live.id, name: 'Changed' }],
      gone: 'Gone',
    });
  });

  test('for upserts, which neither update nor revive it', async () => {
    const before = await stored(gone.id);
    const upsert = (create: object) =>
      client.tenant.upsert({
        where: { id: gone.id },
        create: { ...newTenant(), tier, ...create },
        update: { name: 'Changed' },
        ...name,
      });
    // The id is still taken in the database.
    expect(violatedConstraint(await upsert({ id: gone.id }).catch((error) => error))).toBe('tenants_pkey');
    expect(await upsert({ name: 'Another' })).toEqual({ name: 'Another' });
    expect(await stored(gone.id)).toEqual(before);
  });

  test('inside an interactive transaction', async () => {
    await client.$transaction(async (tx) => {
      expect(await tx.tenant.findMany({ where: { tier }, ...name })).toEqual([{ name: 'Live' }]);
      expect(await tx.tenant.findUnique({ where: { id: gone.id } })).toBeNull();
      expect(await tx.tenant.updateMany({ where: { tier }, data: { schemaVersion: 2 } })).toEqual({
        count: 1,
      });
    });
  });
});

describe('a deleted row is seen', () => {
  test('where the top-level filter decides on deletedAt', async () => {
    const names = async (where: object) =>
      (await client.tenant.findMany({ where: { tier, ...where }, orderBy: { name: 'asc' } })).map(
        (found) => found.name,
      );
    expect({
      only: await names({ deletedAt: { not: null } }),
      since: await names({ deletedAt: { gt: new Date(0) } }),
      inAnd: await names({ AND: [{ tier }, { deletedAt: { not: null } }] }),
      inAndOfOne: await names({ AND: { deletedAt: { not: null } } }),
      both: await names(liveOrDeleted),
      bothInAnd: await names({ AND: [liveOrDeleted] }),
      live: await names({ deletedAt: null }),
      count: await client.tenant.count({ where: { tier, deletedAt: { not: null } } }),
      unique: (await client.tenant.findUnique({ where: { id: gone.id, ...liveOrDeleted } }))?.name,
      groupBy: await client.tenant.groupBy({ by: ['name'], where: { tier, deletedAt: { not: null } } }),
    }).toEqual({
      only: ['Gone'],
      since: ['Gone'],
      inAnd: ['Gone'],
      inAndOfOne: ['Gone'],
      both: ['Gone', 'Live'],
      bothInAnd: ['Gone', 'Live'],
      live: ['Live'],
      count: 1,
      unique: 'Gone',
      groupBy: [{ name: 'Gone' }],
    });
  });

  test('but not where it only seems to', async () => {
    const names = async (where: object) =>
      (await client.tenant.findMany({ where: { tier, ...where } })).map((found) => found.name);
    expect({
      undefined: await names({ deletedAt: undefined }),
      notUndefined: await names({ deletedAt: { not: undefined } }),
      notNotUndefined: await names({ deletedAt: { not: { not: undefined } } }),
      empty: await names({ deletedAt: {} }),
      undefinedInAnd: await names({ AND: [{ deletedAt: undefined }] }),
      oneBranch: await names({ OR: [{ deletedAt: { not: null } }, { tier }] }),
      not: await names({ NOT: { deletedAt: null } }),
      notInAnd: await names({ AND: { NOT: [{ deletedAt: null }] } }),
      throughARelation: await names({ operation: { newestFor: { some: { deletedAt: { not: null } } } } }),
    }).toEqual({
      undefined: ['Live'],
      notUndefined: ['Live'],
      notNotUndefined: ['Live'],
      empty: ['Live'],
      undefinedInAnd: ['Live'],
      oneBranch: ['Live'],
      not: [],
      notInAnd: [],
      throughARelation: [],
    });
  });

  test('by a restore, which finds no live row', async () => {
    const restore = (id: string) =>
      client.tenant.update({ where: { id, deletedAt: { not: null } }, data: { deletedAt: null }, ...name });
    await expect(restore(live.id)).rejects.toMatchObject({ code: 'P2025' });
    expect(await restore(gone.id)).toEqual({ name: 'Gone' });
    expect(await client.tenant.findUnique({ where: { id: gone.id }, ...name })).toEqual({ name: 'Gone' });
  });

  test('through a relation that the options declare visible', async () => {
    const where = { id: ofGone.id };
    expect(
      plain({
        select: await client.operation.findUnique({ where, select: { tenant: name } }),
        include: (await client.operation.findFirst({ where, include: { tenant: true } }))?.tenant.name,
        fluent: await client.operation.findUnique({ where }).tenant(name),
        twoDown: await client.operation.findUnique({
          where,
          select: { tenant: { select: { operation: { select: { newestFor: name } } } } },
        }),
        ordered: (
          await client.operation.findMany({
            where: { id: { in: [ofLive.id, ofGone.id] } },
            orderBy: { tenant: { name: 'asc' } },
          })
        ).map((operation) => operation.id),
      }),
    ).toEqual({
      select: { tenant: { name: 'Gone' } },
      include: 'Gone',
      fluent: { name: 'Gone' },
      twoDown: { tenant: { operation: { newestFor: [] } } },
      ordered: [ofGone.id, ofLive.id],
    });
  });
});
