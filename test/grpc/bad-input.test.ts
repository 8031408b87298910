import { randomUUID } from 'node:crypto';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { all, type Caller, connect, failureOf } from './grpc-client.ts';

let app: TestApp;
let admin: Caller;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  admin = connect(app.grpcAddress, app.tokens.admin);
});

afterAll(async () => {
  admin[Symbol.dispose]();
  await app[Symbol.asyncDispose]();
});

/** What people and attackers write. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.constantFrom(
    '',
    ' ',
    '\u0000',
    '\u202eacme',
    "'; DROP TABLE tenants; --",
    '%',
    '_%\\',
    '__proto__',
    'xn--80ak6aa92e',
    '\ud800',
    'a@b.co',
    'active',
    'include',
    'x'.repeat(20_000),
  ),
  fc.uuid(),
  fc.string({ maxLength: 300 }).map((value) => Buffer.from(value).toString('base64url')),
  fc
    .constantFrom('CREATED_AT', 'NAME')
    .chain((field) =>
      fc
        .tuple(fc.string(), fc.uuid())
        .map((rest) => Buffer.from(JSON.stringify([field, ...rest])).toString('base64url')),
    ),
);
const int32 = fc.oneof(
  fc.integer({ min: -2_147_483_648, max: 2_147_483_647 }),
  fc.integer({ min: -1, max: 101 }),
);

const byId = fc.record({ id: text });
const calls = fc.oneof(
  fc
    .record({ name: text, subdomain: text, contactEmail: text, tier: text })
    .map((request) => () => admin.unary(rpc.createTenant, request)),
  byId.map((request) => () => admin.unary(rpc.getTenant, request)),
  fc
    .record({ id: text, name: text, subdomain: text, status: text })
    .map((request) => () => admin.unary(rpc.updateTenant, request)),
  byId.map((request) => () => admin.unary(rpc.deleteTenant, request)),
  fc
    .record({
      pageSize: int32,
      pageToken: text,
      status: fc.array(text, { maxLength: 3 }),
      tier: text,
      search: text,
      deleted: text,
    })
    .map((request) => () => admin.unary(rpc.listTenants, request)),
  byId.map((request) => () => admin.unary(rpc.restoreTenant, request)),
  byId.map((request) => () => admin.unary(rpc.retryOperation, request)),
  byId.map((request) => () => admin.unary(rpc.cancelOperation, request)),
  fc
    .record({ tenantId: text, afterSequence: int32 })
    .map((request) => () => all(admin.stream(rpc.watchProvisioning, request))),
);

const understood = [
  'OK',
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'FAILED_PRECONDITION',
  'ABORTED',
];

async function codeOf(call: () => Promise<unknown>): Promise<string> {
  let failure: unknown = null;
  await call().catch((error: unknown) => {
    failure = error;
  });
  return failure === null ? 'OK' : (await failureOf(Promise.reject(failure))).code;
}

test('whatever stands in the fields of whatever call, the answer says what is wrong with it', async () => {
  await fc.assert(
    fc.asyncProperty(calls, async (call) => {
      expect(understood).toContain(await codeOf(call));
    }),
    { numRuns: 400 },
  );
}, 60_000);

test('a single field that is bad, beside good ones, is told too', async () => {
  const id = randomUUID();
  await fc.assert(
    fc.asyncProperty(
      text,
      fc.constantFrom('name', 'subdomain', 'contactEmail', 'tier'),
      async (value, field) => {
        const good = {
          name: 'Good',
          subdomain: `good-${randomUUID()}`,
          contactEmail: 'good@example.com',
          tier: '',
        };
        expect(understood).toContain(
          await codeOf(() => admin.unary(rpc.createTenant, { ...good, [field]: value })),
        );
        const update = { id, name: '', subdomain: '', status: '', [field]: value };
        expect(understood).toContain(await codeOf(() => admin.unary(rpc.updateTenant, update)));
      },
    ),
    { numRuns: 200 },
  );
}, 60_000);

test('metadata that is wild is told too', async () => {
  const printable = fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('x-tenant-subdomain', 'idempotency-key'),
      fc.array(printable, { maxLength: 3 }),
      async (key, values) => {
        const request = { name: 'Meta', subdomain: 'www', contactEmail: 'meta@example.com', tier: '' };
        const metadata = values.map((value) => [key, value] as const);
        expect(understood).toContain(
          await codeOf(() => admin.unary(rpc.createTenant, request, { metadata })),
        );
      },
    ),
    { numRuns: 50 },
  );
});

test('bytes that are no message are the caller\u2019s fault, not INTERNAL', async () => {
  const client = new Client(app.grpcAddress, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${app.tokens.viewer}`);
  const code = await new Promise((resolve) => {
    client.makeUnaryRequest(
      rpc.getTenant.path,
      (bytes: Buffer) => bytes,
      (bytes) => bytes,
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x0f, 0x01]),
      metadata,
      (error) => resolve(error === null ? 'OK' : status[error.code]),
    );
  });
  client.close();
  expect(code).toBe('INVALID_ARGUMENT');
});

test('a request that is far too large is refused', async () => {
  const request = { name: 'x'.repeat(100_000), subdomain: 'large', contactEmail: '', tier: '' };
  expect(await failureOf(admin.unary(rpc.createTenant, request))).toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
  });
});
