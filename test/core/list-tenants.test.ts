import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCursor, type TenantOrder, tenantCursor, tenantOrderFields } from '../../src/core/cursor.ts';
import { ValidationError } from '../../src/core/errors.ts';
import type { Tenant } from '../../src/core/model.ts';
import type { Page } from '../../src/core/ports.ts';
import type { TenantFilter } from '../../src/core/validation.ts';
import { type CoreApp, editor, startCore } from './core-app.ts';

let app: CoreApp;

const names = [
  'Acme',
  'acme',
  'ACME Ltd',
  'Acme',
  '100% Acme',
  'a_b',
  'axb',
  'back\\slash',
  'Ärger',
  'zed',
  'Acme',
  '😀',
];

beforeAll(async () => {
  app = await startCore({ worker: false });
  for (const [index, name] of names.entries()) {
    const subdomain = `s${index % 2}-${String(index).padStart(2, '0')}`;
    const input = {
      name,
      subdomain,
      contactEmail: `Owner${index % 3}@acme.example`,
      tier: index < 4 ? 'gold' : 'standard',
    };
    const { tenant } = await app.core.tenants.create(editor, input);
    // Ties: three tenants at each moment.
    await app.sql('UPDATE tenants SET created_at = $2, status = $3 WHERE id = $1', [
      tenant.id,
      new Date(Date.UTC(2026, 0, 1 + Math.floor(index / 3))),
      index % 4 === 0 ? 'ACTIVE' : 'PROVISIONING',
    ]);
    if (name === 'zed') await app.core.tenants.remove(editor, tenant.id);
  }
});
afterAll(() => app?.[Symbol.asyncDispose]());

const byCreation: TenantOrder = { field: 'CREATED_AT', direction: 'ASC' };
const whole: Page = { after: null, before: null, limit: 100, inverted: false };

async function list(
  filter: TenantFilter,
  order = byCreation,
  page: Partial<typeof whole> = {},
): Promise<Tenant[]> {
  return (await app.core.tenants.list({ ...whole, ...page, filter, order })).tenants;
}

async function namesOf(filter: TenantFilter): Promise<string[]> {
  return (await list(filter)).map(({ name }) => name).sort();
}

describe('a filter', () => {
  test.each<[string, TenantFilter, string[]]>([
    ['nothing shows all that live', {}, names.filter((name) => name !== 'zed')],
    ['an empty list of statuses shows all', { status: [] }, names.filter((name) => name !== 'zed')],
    ['a status', { status: ['ACTIVE'] }, ['Acme', '100% Acme', 'Ärger']],
    ['two statuses', { status: ['ACTIVE', 'PROVISIONING'] }, names.filter((name) => name !== 'zed')],
    ['a status that none has', { status: ['ERROR'] }, []],
    ['a tier', { tier: ' gold ' }, ['Acme', 'acme', 'ACME Ltd', 'Acme']],
    ['the start of a name, in any case', { search: 'aCmE' }, ['Acme', 'acme', 'ACME Ltd', 'Acme', 'Acme']],
    ['a letter that is not ASCII, in any case', { search: 'ä' }, ['Ärger']],
    ['no middle of a name', { search: 'Ltd' }, []],
    ['the start of a subdomain, in any case', { search: 'S1-0' }, ['acme', 'Acme', 'a_b', 'back\\slash']],
    ['a percent sign', { search: '100%' }, ['100% Acme']],
    ['a percent sign alone', { search: '%' }, []],
    ['an underscore', { search: 'a_' }, ['a_b']],
    ['a backslash', { search: 'back\\' }, ['back\\slash']],
    ['a quote', { search: "'; DROP TABLE tenants; --" }, []],
    [
      'an address in any case, with blanks',
      { contactEmail: ' OWNER1@ACME.example ' },
      ['acme', '100% Acme', 'back\\slash', 'Acme'],
    ],
    ['deleted ones alone', { deleted: 'ONLY' }, ['zed']],
    ['deleted ones too', { deleted: 'INCLUDE' }, names],
    [
      'all of it at once',
      {
        status: ['ACTIVE'],
        tier: 'gold',
        search: 'Acme',
        contactEmail: 'owner0@acme.example',
        deleted: 'EXCLUDE',
      },
      ['Acme'],
    ],
  ])('of %s', async (_, filter, expected) => {
    expect(await namesOf(filter)).toEqual([...expected].sort());
  });

  test.each<[string, TenantFilter, string]>([
    ['a search with a NUL', { search: 'a\0' }, 'search'],
    ['an empty search', { search: ' ' }, 'search'],
    ['a tier with half an emoji', { tier: '\ud83d' }, 'tier'],
    ['an address that is none', { contactEmail: 'nobody' }, 'contactEmail'],
  ])('of %s is refused', async (_, filter, path) => {
    await expect(list(filter)).rejects.toMatchObject({ code: 'BAD_USER_INPUT', fieldErrors: [{ path }] });
  });
});

describe('pages', () => {
  const orders = tenantOrderFields.flatMap((field) =>
    (['ASC', 'DESC'] as const).map((direction): TenantOrder => ({ field, direction })),
  );

  test.each(orders)('in the order of $field $direction are what a sort says', async (order) => {
    const all = await list({}, order);
    const column = order.field.toLowerCase();
    const sorted = await app.sql(
      `SELECT id FROM tenants WHERE deleted_at IS NULL ORDER BY ${column} ${order.direction}, id ${order.direction}`,
    );
    expect(all.map(({ id }) => ({ id }))).toEqual(sorted);
    expect(all).toHaveLength(names.length - 1);
  });

  test('of any sizes, forwards and backwards, in any order, show each row once and in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...orders),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        fc.constantFrom<TenantFilter>({}, { deleted: 'INCLUDE' }, { search: 'acme' }, { tier: 'standard' }),
        async (order, backwards, sizes, filter) => {
          const all = await list(filter, order);
          const walked: Tenant[] = [];
          for (let turn = 0; ; turn++) {
            const limit = sizes[turn % sizes.length] ?? 1;
            const edge = walked.at(-1);
            const place = edge ? parseCursor(tenantCursor(edge, order.field), order.field, 'after') : null;
            const page = backwards
              ? await list(filter, order, { before: place, limit, inverted: true })
              : await list(filter, order, { after: place, limit });
            if (page.length === 0) break;
            walked.push(...page);
          }
          expect(walked.map(({ id }) => id)).toEqual((backwards ? all.reverse() : all).map(({ id }) => id));
        },
      ),
      { numRuns: 40 },
    );
  });

  test('between two places show what lies between', async () => {
    for (const order of orders) {
      const all = await list({}, order);
      const place = (index: number) => {
        const tenant = all[index];
        if (tenant === undefined) throw new Error('no such row');
        return parseCursor(tenantCursor(tenant, order.field), order.field, 'after');
      };
      const between = await list({}, order, { after: place(2), before: place(7) });
      expect(between.map(({ id }) => id)).toEqual(all.slice(3, 7).map(({ id }) => id));
    }
  });

  test('go on behind a row that has gone', async () => {
    const all = await list({ deleted: 'INCLUDE' });
    const index = all.findIndex(({ name }) => name === 'zed');
    const gone = all[index];
    if (gone === undefined) throw new Error('the deleted row is not there');
    const after = parseCursor(tenantCursor(gone, 'CREATED_AT'), 'CREATED_AT', 'after');
    expect((await list({}, byCreation, { after })).map(({ id }) => id)).toEqual(
      all.slice(index + 1).map(({ id }) => id),
    );
  });
});

describe('a cursor', () => {
  const id = '11111111-2222-4333-8444-555555555555';
  const forge = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

  test('of another order is refused', async () => {
    const [tenant] = await list({});
    if (tenant === undefined) throw new Error('there is no tenant');
    for (const from of tenantOrderFields) {
      for (const to of [...tenantOrderFields, 'OPERATION'] as const) {
        const read = () => parseCursor(tenantCursor(tenant, from), to, 'before');
        if (from === to) expect(read().id).toBe(tenant.id);
        else
          expect(read).toThrow(
            new ValidationError([{ path: 'before', message: 'is not a cursor of this list' }]),
          );
      }
    }
  });

  test.each([
    ['', '%%%', 'null', forge(null), forge([]), forge({}), forge(['NAME', 'x'])],
    [
      forge(['NAME', '', id]),
      forge(['NAME', 'a\0b', id]),
      forge(['NAME', '\ud800', id]),
      forge(['NAME', 'x'.repeat(201), id]),
    ],
    [
      forge(['NAME', 'x', 'no-uuid']),
      forge(['NAME', 'x', `${id}'`]),
      forge(['NAME', 7, id]),
      forge(['NAME', 'x', id, 'more']),
    ],
  ])('that was made up is refused: %s …', (...cursors) => {
    for (const cursor of cursors) {
      expect(() => parseCursor(cursor, 'NAME', 'after'), cursor).toThrow(ValidationError);
    }
  });

  test.each([
    'yesterday',
    '0000-01-01T00:00:00.000Z',
    '2026-02-30T00:00:00.000Z',
    '2026-01-01T24:00:00.000Z',
    '2026-01-01',
    '2026-01-01T00:00:00.000+02:00',
    '+275760-09-13T00:00:00.000Z',
    '275760-09-13T00:00:00.000Z',
  ])('of the moment %s is refused', (moment) => {
    expect(() => parseCursor(forge(['CREATED_AT', moment, id]), 'CREATED_AT', 'after')).toThrow(
      ValidationError,
    );
  });

  test.each([
    ['0001-01-01T00:00:00.000Z', names.length - 1],
    ['9999-12-31T23:59:59.999Z', 0],
  ])('of the moment %s finds its place', async (moment, behind) => {
    const after = parseCursor(forge(['CREATED_AT', moment, id]), 'CREATED_AT', 'after');
    expect(await list({}, byCreation, { after })).toHaveLength(behind);
  });
});
