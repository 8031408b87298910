import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseCursor, tenantOrderFields } from '../../src/core/cursor.ts';
import { DomainError } from '../../src/core/errors.ts';
import { deletedFilters, tenantStatuses } from '../../src/core/model.ts';
import { actor } from '../support/actor.ts';
import { activeTenant, type CoreApp, editor, newTenant, startCore } from './core-app.ts';

let app: CoreApp;
let known: string[] = [];

beforeAll(async () => {
  app = await startCore({ worker: false });
  const { core } = app;
  const [live, active, deleted] = [
    await core.tenants.create(editor, newTenant()),
    await activeTenant(app),
    await core.tenants.create(editor, newTenant()),
  ];
  await core.tenants.remove(editor, deleted.tenant.id);
  known = [live.tenant.id, live.operation.id, active, deleted.tenant.id];
});
afterAll(() => app?.[Symbol.asyncDispose]());

/** What callers of any transport can send where text is asked for. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 120 }),
  fc.constantFrom(
    '',
    ' ',
    '\0',
    'a\0b',
    '\ud83d',
    '\u202e',
    "'; DROP TABLE tenants; --",
    '%',
    '_',
    '\\',
    '$1',
    '{}',
    'null',
    'admin',
  ),
  fc.string({ unit: fc.constantFrom('a', '-', '9', 'Z', ' '), maxLength: 70 }),
  fc.emailAddress(),
  fc.webUrl(),
);
const id = fc.oneof(
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(...Array.from({ length: 4 }, (_, index) => index))
      .map((index) => known[index] ?? ''),
  },
  fc.uuid(),
  fc.uuid().map((value) => value.toUpperCase()),
  fc.constantFrom(
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    '{00000000-0000-0000-0000-000000000000}',
    '1',
  ),
  text,
);
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(0, -1, 2 ** 31 - 1, 2 ** 31, 2 ** 53, Number.NaN),
);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value);

/** Runs the work; only errors that are meant for the caller may come of it, in one line. */
async function onlyDomainErrors(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    expect(error.code).not.toBe('UNAVAILABLE');
    expect(error.message).toMatch(/^[^\n]+$/);
  }
}

const runs = { numRuns: 60 };

test('create takes any text', async () => {
  const input = fc.record({
    name: text,
    subdomain: text,
    contactEmail: text,
    tier: optional(text),
    idempotencyKey: optional(text),
  });
  // A good input with one field of anything gets further than one that is wrong all over.
  const oneField = fc
    .tuple(input, fc.constantFrom('name', 'subdomain', 'contactEmail', 'tier', 'idempotencyKey'))
    .map(([values, field]) => ({ ...newTenant(), [field]: Reflect.get(values, field) }));
  await fc.assert(
    fc.asyncProperty(fc.oneof(input, oneField), (values) =>
      onlyDomainErrors(() => app.core.tenants.create(editor, values)),
    ),
    { numRuns: 150 },
  );
});

test('update takes any text and number', async () => {
  const input = fc.record({
    id,
    expectedVersion: optional(number),
    name: optional(text),
    subdomain: optional(text),
    contactEmail: optional(text),
    tier: optional(text),
  });
  const status = optional(fc.constantFrom(...tenantStatuses));
  await fc.assert(
    fc.asyncProperty(input, status, fc.constantFrom('viewer', 'admin'), (values, wanted, role) =>
      onlyDomainErrors(() => app.core.tenants.update(actor(role, 'test'), values, wanted)),
    ),
    { numRuns: 150 },
  );
});

test('whatever is named by an id takes any text', async () => {
  const { tenants, operations } = app.core;
  const page = { after: null, before: null, limit: 3, inverted: false };
  const functions: Record<string, (value: string) => Promise<unknown>> = {
    find: async (value) => tenants.find(value, 'INCLUDE'),
    get: async (value) => tenants.get(value),
    findBySubdomain: (value) => tenants.findBySubdomain(value),
    suspend: (value) => tenants.suspend(editor, value),
    resume: (value) => tenants.resume(editor, value),
    remove: (value) => tenants.remove(editor, value),
    restore: (value) => tenants.restore(editor, value),
    operation: (value) => operations.find(value),
    operations: (value) => operations.list(value, page),
    retry: (value) => operations.retry(editor, value),
    cancel: (value) => operations.cancel(editor, value),
  };
  for (const call of Object.values(functions)) {
    await fc.assert(
      fc.asyncProperty(id, (value) => onlyDomainErrors(() => call(value))),
      runs,
    );
  }
}, 60_000);

test('a list takes any filter and any cursor', async () => {
  const filter = fc.record({
    status: optional(fc.array(fc.constantFrom(...tenantStatuses), { maxLength: 6 })),
    tier: optional(text),
    search: optional(text),
    contactEmail: optional(text),
    deleted: optional(fc.constantFrom(...deletedFilters)),
  });
  const order = fc.record({
    field: fc.constantFrom(...tenantOrderFields),
    direction: fc.constantFrom('ASC' as const, 'DESC' as const),
  });
  const moment = fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  const cursor = fc.oneof(
    text,
    fc
      .tuple(fc.constantFrom(...tenantOrderFields, 'OPERATION'), fc.oneof(text, moment), id)
      .map((parts) => Buffer.from(JSON.stringify(parts)).toString('base64url')),
    fc.json().map((value) => Buffer.from(value).toString('base64url')),
  );
  await fc.assert(
    fc.asyncProperty(
      filter,
      order,
      optional(cursor),
      optional(cursor),
      fc.boolean(),
      (wanted, by, after, before, inverted) =>
        onlyDomainErrors(() => {
          const place = (value: string | null) =>
            value === null ? null : parseCursor(value, by.field, 'after');
          return app.core.tenants.list({
            filter: wanted,
            order: by,
            after: place(after),
            before: place(before),
            limit: 5,
            inverted,
          });
        }),
    ),
    { numRuns: 300 },
  );
}, 60_000);

test('what is no text at all is refused as such', async () => {
  const anything = fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true });
  await fc.assert(
    fc.asyncProperty(
      anything,
      fc.constantFrom('name', 'subdomain', 'contactEmail', 'tier', 'idempotencyKey'),
      (value, field) =>
        // The type says better; a transport's mistake must not become a statement.
        onlyDomainErrors(() =>
          Reflect.apply(app.core.tenants.create, null, [editor, { ...newTenant(), [field]: value }]),
        ),
    ),
    runs,
  );
  await fc.assert(
    fc.asyncProperty(anything, (value) =>
      onlyDomainErrors(() => Reflect.apply(app.core.tenants.find, null, [value])),
    ),
    runs,
  );
});

test('after all of this the service is as well as before', async () => {
  const { tenant } = await app.core.tenants.create(editor, newTenant());
  expect((await app.core.tenants.get(tenant.id)).id).toBe(tenant.id);
  await expect(app.core.tenants.get(randomUUID())).rejects.toMatchObject({ code: 'NOT_FOUND' });
});
