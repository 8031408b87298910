import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { liveOrDeleted } from '../../src/db/middleware/soft-delete.ts';
import type { RegistryClient } from '../../src/db/prisma-client.ts';
import {
  createLiveAndGone,
  newOperation,
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

describe('a deleted row does not exist through a relation', () => {
  beforeEach(async () => {
    // Both tenants have the operation of the live one as their newest.
    await client.tenant.updateMany({ where: { tier, ...liveOrDeleted }, data: { operationId: ofLive.id } });
  });
  const both = () => ({ id: { in: [ofLive.id, ofGone.id] } });
  const found = async (where: object) =>
    (await client.operation.findMany({ where: { AND: [both(), where] }, select: { tenantId: true } })).map(
      ({ tenantId }) => (tenantId === live.id ? 'Live' : 'Gone'),
    );

  test('in include, select and _count of a list', async () => {
    const where = { id: ofLive.id };
    expect(
      plain({
        include: (await client.operation.findUnique({ where, include: { newestFor: true } }))?.newestFor.map(
          (tenant) => tenant.name,
        ),
        select: await client.operation.findMany({ where, select: { newestFor: name } }),
        filtered: await client.operation.findMany({
          where,
          select: { newestFor: { where: { deletedAt: { not: null } }, ...name } },
        }),
        deciding: await client.operation.findMany({
          where,
          select: { newestFor: { where: { AND: [liveOrDeleted] }, ...name } },
        }),
        twoDown: await client.tenant.findMany({
          where: { tier },
          select: { operation: { select: { newestFor: name, _count: { select: { newestFor: true } } } } },
        }),
        counted: await client.operation.findMany({ where, select: { _count: true } }),
        countFiltered: await client.operation.findMany({
          where,
          select: { _count: { select: { newestFor: { where: { OR: [{ name: 'Gone' }] } }, steps: true } } },
        }),
        fluent: await client.operation.findUnique({ where }).newestFor(name),
        afterUpdate: await client.operation.update({
          where,
          data: { attempt: 1 },
          select: { newestFor: name },
        }),
      }),
    ).toEqual({
      include: ['Live'],
      select: [{ newestFor: [{ name: 'Live' }] }],
      filtered: [{ newestFor: [] }],
      deciding: [{ newestFor: [{ name: 'Live' }] }],
      twoDown: [{ operation: { newestFor: [{ name: 'Live' }], _count: { newestFor: 1 } } }],
      counted: [{ _count: { newestFor: 1, steps: 0 } }],
      countFiltered: [{ _count: { newestFor: 0, steps: 0 } }],
      fluent: [{ name: 'Live' }],
      afterUpdate: { newestFor: [{ name: 'Live' }] },
    });
  });

  test('in filters by a list', async () => {
    expect({
      some: await found({ newestFor: { some: {} } }),
      someGone: await found({ newestFor: { some: { name: 'Gone' } } }),
      someDeleted: await found({ newestFor: { some: { deletedAt: { not: null } } } }),
      none: await found({ newestFor: { none: { name: 'Gone' } } }),
      noneAtAll: await found({ newestFor: { none: {} } }),
      every: await found({ newestFor: { every: { name: 'Live' } } }),
      everyGone: await found({ newestFor: { every: { name: 'Gone' } } }),
    }).toEqual({
      some: ['Live'],
      someGone: [],
      someDeleted: [],
      none: ['Live', 'Gone'],
      noneAtAll: ['Gone'],
      every: ['Live', 'Gone'],
      everyGone: ['Gone'],
    });
  });

  test('in filters by a single row', async () => {
    expect({
      short: await found({ tenant: { tier } }),
      empty: await found({ tenant: {} }),
      is: await found({ tenant: { is: { tier } } }),
      isNot: await found({ tenant: { isNot: { name: 'Nobody' } } }),
      isAndIsNot: await found({ tenant: { is: { tier }, isNot: { name: 'Live' } } }),
      deleted: await found({ tenant: { deletedAt: { not: null } } }),
      deciding: await found({ tenant: liveOrDeleted }),
      under: await found({
        OR: [{ tenant: { name: 'Gone' } }, { NOT: [{ NOT: { tenant: { name: 'Gone' } } }] }],
      }),
      twoDown: await found({ newestFor: { some: { operations: { some: { tenant: { tier } } } } } }),
    }).toEqual({
      short: ['Live'],
      empty: ['Live'],
      is: ['Live'],
      isNot: ['Live'],
      isAndIsNot: [],
      deleted: [],
      deciding: ['Live'],
      under: [],
      twoDown: ['Live'],
    });
  });

  test('in what updateMany and groupBy of another model select by', async () => {
    const where = { ...both(), tenant: { tier } };
    expect({
      updateMany: await client.operation.updateMany({ where, data: { attempt: 2 } }),
      groupBy: await client.operation.groupBy({ by: ['tenantId'], where }),
      count: await client.operation.count({ where }),
    }).toEqual({ updateMany: { count: 1 }, groupBy: [{ tenantId: live.id }], count: 1 });
  });

  test('for connect', async () => {
    const { tenantId: _, ...operation } = newOperation(gone.id);
    const connect = (id: string) =>
      client.operation.create({ data: { ...operation, id: randomUUID(), tenant: { connect: { id } } } });
    expect((await connect(live.id)).tenantId).toBe(live.id);
    await expect(connect(gone.id)).rejects.toMatchObject({ code: 'P2025' });
    await expect(
      client.operation.update({
        where: { id: ofGone.id },
        data: { newestFor: { connect: [{ id: gone.id }] } },
      }),
    ).rejects.toMatchObject({ code: 'P2018' });
    await expect(
      client.operation.update({
        where: { id: ofGone.id },
        data: { newestFor: { connect: { id: gone.id, deletedAt: { not: null } } } },
      }),
    ).rejects.toMatchObject({ code: 'P2018' });
  });
});
