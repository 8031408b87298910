import { describe, expect, test } from 'vitest';
import { readDataModel } from '../../src/db/middleware/data-model.ts';
import { walkQuery } from '../../src/db/middleware/walk-query.ts';

describe('the walk refuses what it does not know:', () => {
  const walk = { models: readDataModel(), rules: {} };
  test.each<[string, string, string, unknown, string]>([
    ['an operation', 'Tenant', 'findRaw', {}, 'Tenant.findRaw'],
    ['an argument', 'Tenant', 'findMany', { surprise: 1 }, 'Tenant.findMany surprise'],
    ['arguments that are no object', 'Tenant', 'findMany', [], 'Tenant.findMany'],
    ['a filter that is no object', 'Tenant', 'findMany', { where: null }, 'Tenant.findMany where'],
    ['a filter with a class', 'Tenant', 'findMany', { where: new Map() }, 'Tenant.findMany where'],
    [
      'a filter by an unknown field',
      'Tenant',
      'findMany',
      { where: { AND: { surprise: 1 } } },
      'Tenant.findMany where.AND.surprise',
    ],
    [
      'an unknown quantifier',
      'Operation',
      'findMany',
      { where: { newestFor: { most: {} } } },
      'Operation.findMany where.newestFor.most',
    ],
    [
      'a mixed relation filter',
      'Operation',
      'findMany',
      { where: { tenant: { is: {}, name: 'x' } } },
      'Operation.findMany where.tenant.name',
    ],
    [
      'an unknown selection',
      'Operation',
      'findMany',
      { select: { surprise: true } },
      'Operation.findMany select.surprise',
    ],
    [
      'a selection that is no object',
      'Operation',
      'findMany',
      { select: { newestFor: 'yes' } },
      'Operation.findMany select.newestFor',
    ],
    [
      'an unknown count',
      'Operation',
      'findMany',
      { include: { _count: { select: { tenant: true } } } },
      'Operation.findMany include._count.select.tenant',
    ],
    [
      'an unknown order',
      'Tenant',
      'findMany',
      { orderBy: { _relevance: {} } },
      'Tenant.findMany orderBy._relevance',
    ],
    [
      'a cursor by a relation',
      'Operation',
      'findMany',
      { cursor: { id: 'x', tenant: {} } },
      'Operation.findMany cursor.tenant',
    ],
    [
      'an unknown nested write',
      'Operation',
      'update',
      { data: { tenant: { replace: {} } } },
      'Operation.update data.tenant.replace',
    ],
    [
      'an unknown part of a nested write',
      'Operation',
      'update',
      { data: { steps: { upsert: { surprise: 1 } } } },
      'Operation.update data.steps.upsert.surprise',
    ],
    ['unknown data', 'Operation', 'create', { data: [{ surprise: 1 }] }, 'Operation.create data.surprise'],
    [
      'an unknown having',
      'Tenant',
      'groupBy',
      { having: { OR: [{ operation: {} }] } },
      'Tenant.groupBy having.OR.operation',
    ],
  ])('%s', (_case, model, operation, args, place) => {
    expect(() => walkQuery(walk, model, operation, args)).toThrow(
      expect.objectContaining({
        name: 'RefusedQueryError',
        message: expect.stringMatching(`^${place.replaceAll('.', '\\.')}: `),
      }),
    );
  });

  test('and changes no meaning where no rule speaks', () => {
    const data = {
      attempt: 1,
      steps: {
        create: [{ position: 0, name: 'a' }],
        createMany: { data: [{ position: 1, name: 'b' }], skipDuplicates: true },
        connectOrCreate: {
          where: { operationId_position: { operationId: 'x', position: 2 } },
          create: { position: 2 },
        },
        updateMany: [{ where: { position: 3 }, data: { name: 'c' } }],
        update: { where: { operationId_position: {} }, data: { name: 'd' } },
        upsert: { where: { operationId_position: {} }, create: { name: 'e' }, update: { name: 'e' } },
        delete: [{ operationId_position: {} }],
        deleteMany: { name: 'f' },
      },
      tenant: { connect: { id: 'x' }, update: { name: 'g' } },
      newestFor: { set: [{ id: 'x' }], disconnect: [{ id: 'y' }] },
    };
    const update = {
      where: { id: 'x' },
      data,
      select: { id: true, steps: { take: 1, orderBy: { position: 'asc' } } },
    };
    expect(walkQuery(walk, 'Operation', 'update', update)).toEqual(update);
    const absent = { where: { operation: null } };
    expect(walkQuery(walk, 'Tenant', 'count', absent)).toEqual({ where: { operation: { is: null } } });
    expect(walkQuery(walk, 'Tenant', 'count', undefined)).toEqual({});
    const credential = { data: { credential: { delete: true } }, where: { id: 'x' } };
    expect(walkQuery(walk, 'Tenant', 'update', credential)).toEqual(credential);
  });
});
