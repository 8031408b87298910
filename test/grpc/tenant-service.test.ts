import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TenantServiceService as rpc, type Tenant } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { all, type Caller, type CallOptions, connect, failureOf } from './grpc-client.ts';

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

let app: TestApp;
let admin: Caller;
let editor: Caller;

beforeAll(async () => {
  app = await startTestApp();
  admin = connect(app.grpcAddress, app.tokens.admin);
  editor = connect(app.grpcAddress, app.tokens.editor);
});

afterAll(async () => {
  admin[Symbol.dispose]();
  editor[Symbol.dispose]();
  await app[Symbol.asyncDispose]();
});

function request(subdomain: string) {
  return { name: `Tenant ${subdomain}`, subdomain, contactEmail: `owner@${subdomain}.example`, tier: '' };
}

async function create(subdomain: string, options: CallOptions = {}): Promise<Tenant> {
  return present((await editor.unary(rpc.createTenant, request(subdomain), options)).tenant);
}

/** A tenant that came up. */
async function createActive(subdomain: string): Promise<Tenant> {
  const { id } = await create(subdomain);
  return settled(id);
}

/** The tenant once nothing is being done to it. */
async function settled(id: string): Promise<Tenant> {
  await all(admin.stream(rpc.watchProvisioning, { tenantId: id, afterSequence: 0 }));
  return present((await admin.unary(rpc.getTenant, { id })).tenant);
}

function present(tenant: Tenant | undefined): Tenant {
  if (tenant === undefined) throw new Error('the answer has no tenant');
  return tenant;
}

describe('CreateTenant', () => {
  test('accepts a tenant that is provisioning, and then comes up', async () => {
    const tenant = await create('created');
    expect(tenant).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      name: 'Tenant created',
      subdomain: 'created',
      status: 'provisioning',
      createdAt: expect.stringMatching(rfc3339),
      updatedAt: expect.stringMatching(rfc3339),
      deletedAt: '',
    });
    expect(await settled(tenant.id)).toMatchObject({ id: tenant.id, status: 'active' });
  });

  test('gives a tenant without a tier the default one', async () => {
    const { id } = await create('default-tier');
    expect(await app.core.tenants.get(id)).toMatchObject({ tier: 'standard' });
  });

  test('names every field that breaks a rule', async () => {
    const failure = await failureOf(
      editor.unary(rpc.createTenant, {
        name: '',
        subdomain: 'www',
        contactEmail: 'nobody',
        tier: 'x'.repeat(51),
      }),
    );
    expect(failure).toEqual({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('contact_email must be an e-mail address'),
      reason: 'BAD_USER_INPUT',
      fields: ['name', 'subdomain', 'contact_email', 'tier'],
    });
  });

  test('refuses a subdomain that another tenant has', async () => {
    await create('taken');
    expect(await failureOf(editor.unary(rpc.createTenant, request('taken')))).toMatchObject({
      code: 'ALREADY_EXISTS',
      reason: 'SUBDOMAIN_TAKEN',
    });
  });

  test.each([
    ['the same', ['meta-a'], 'meta-a'],
    ['the same, several times', ['meta-b', 'meta-b'], 'meta-b'],
    ['joined by commas, with blanks and capitals', ['Meta-C , meta-c'], 'meta-c'],
    ['empty, which is absent', ['', ' , '], 'meta-d'],
    ['like a subdomain that is normalised itself', ['meta-e'], ' META-E '],
  ])('takes x-tenant-subdomain metadata that is %s', async (_, values, subdomain) => {
    const metadata = values.map((value) => ['x-tenant-subdomain', value] as const);
    const { tenant } = await editor.unary(rpc.createTenant, { ...request('any'), subdomain }, { metadata });
    expect(tenant?.subdomain).toBe(subdomain.trim().toLowerCase());
  });

  test.each([
    ['another', ['other']],
    ['one of several another', ['meta-x', 'other']],
    ['joined with another', ['meta-x,other']],
  ])('refuses x-tenant-subdomain metadata that is %s', async (_, values) => {
    const metadata = values.map((value) => ['x-tenant-subdomain', value] as const);
    expect(await failureOf(editor.unary(rpc.createTenant, request('meta-x'), { metadata }))).toEqual({
      code: 'INVALID_ARGUMENT',
      message: 'x-tenant-subdomain must equal the subdomain of the request, or be left out',
      reason: 'BAD_USER_INPUT',
      fields: ['x-tenant-subdomain'],
    });
    expect(await app.core.tenants.findBySubdomain('meta-x')).toBeNull();
  });

  test('carries out once what is repeated with its idempotency key, and refuses the key for anything else', async () => {
    const options: CallOptions = { metadata: [['idempotency-key', randomUUID()]] };
    const first = await create('once', options);
    expect(await create('once', options)).toMatchObject({ id: first.id });
    expect(await failureOf(editor.unary(rpc.createTenant, request('twice'), options))).toMatchObject({
      code: 'ABORTED',
      reason: 'IDEMPOTENCY_CONFLICT',
    });
  });
});

describe('GetTenant', () => {
  test('answers with the tenant, whatever the case of the id', async () => {
    const tenant = await createActive('read');
    expect(await editor.unary(rpc.getTenant, { id: tenant.id.toUpperCase() })).toEqual({ tenant });
  });

  test('does not know an id that never was', async () => {
    expect(await failureOf(editor.unary(rpc.getTenant, { id: randomUUID() }))).toEqual({
      code: 'NOT_FOUND',
      message: 'There is no such tenant; check the id, and whether it was deleted.',
      reason: 'NOT_FOUND',
      fields: [],
    });
  });

  test('refuses an id that is no UUID', async () => {
    expect(await failureOf(editor.unary(rpc.getTenant, { id: "1'; DROP TABLE tenants" }))).toEqual({
      code: 'INVALID_ARGUMENT',
      message: 'id must be a UUID',
      reason: 'BAD_USER_INPUT',
      fields: ['id'],
    });
  });
});

describe('UpdateTenant', () => {
  test('changes what is not empty', async () => {
    const tenant = await createActive('before');
    const renamed = await editor.unary(rpc.updateTenant, {
      id: tenant.id,
      name: 'After',
      subdomain: '',
      status: '',
    });
    expect(renamed).toEqual({
      tenant: { ...tenant, name: 'After', updatedAt: expect.stringMatching(rfc3339) },
    });
    const moved = await editor.unary(rpc.updateTenant, {
      id: tenant.id,
      name: '',
      subdomain: 'After',
      status: '',
    });
    expect(moved.tenant).toMatchObject({ name: 'After', subdomain: 'after' });
  });

  test('takes the present status from anybody who may update, since clients send back what they read', async () => {
    const tenant = await createActive('sent-back');
    const { tenant: answered } = await editor.unary(rpc.updateTenant, { ...tenant, name: 'Sent back' });
    expect(answered).toMatchObject({ name: 'Sent back', status: 'active' });
  });

  test('does not let an editor change the status, nor keep the rename that came with it', async () => {
    const tenant = await createActive('editors');
    for (const status of ['inactive', 'provisioning', 'error']) {
      expect(
        await failureOf(editor.unary(rpc.updateTenant, { ...tenant, name: 'Changed', status })),
      ).toMatchObject({
        code: 'PERMISSION_DENIED',
        reason: 'FORBIDDEN',
      });
    }
    expect(await editor.unary(rpc.getTenant, { id: tenant.id })).toEqual({ tenant });
  });

  test('renames and suspends in one for an admin, and resumes again', async () => {
    const tenant = await createActive('switched');
    const answer = await admin.unary(rpc.updateTenant, { ...tenant, name: 'Off', status: 'inactive' });
    expect(answer.tenant).toMatchObject({ name: 'Off', status: 'active' });
    expect(await settled(tenant.id)).toMatchObject({ name: 'Off', status: 'inactive' });
    await admin.unary(rpc.updateTenant, { id: tenant.id, name: '', subdomain: '', status: 'active' });
    expect(await settled(tenant.id)).toMatchObject({ status: 'active' });
  });

  test.each(['provisioning', 'error'])('cannot set the status %s', async (status) => {
    const { id } = await createActive(`to-${status}`);
    expect(
      await failureOf(admin.unary(rpc.updateTenant, { id, name: '', subdomain: '', status })),
    ).toMatchObject({
      code: 'FAILED_PRECONDITION',
      reason: 'INVALID_STATE',
    });
  });

  test.each(['suspended', 'ACTIVE', 'Active', ' active', '\u0131nactive'])(
    'does not know the status %j',
    async (status) => {
      const id = randomUUID();
      expect(await failureOf(admin.unary(rpc.updateTenant, { id, name: '', subdomain: '', status }))).toEqual(
        {
          code: 'INVALID_ARGUMENT',
          message: 'status must be one of provisioning, active, inactive, error',
          reason: 'BAD_USER_INPUT',
          fields: ['status'],
        },
      );
    },
  );

  test('refuses the subdomain of another tenant', async () => {
    await create('occupied');
    const { id } = await create('moving');
    const call = editor.unary(rpc.updateTenant, { id, name: '', subdomain: 'occupied', status: '' });
    expect(await failureOf(call)).toMatchObject({ code: 'ALREADY_EXISTS', reason: 'SUBDOMAIN_TAKEN' });
  });
});

describe('DeleteTenant and RestoreTenant', () => {
  test('delete hides the tenant, succeeds again, and restore brings it back as it was', async () => {
    const tenant = await createActive('gone');
    expect(await admin.unary(rpc.deleteTenant, { id: tenant.id })).toEqual({ success: true });
    expect(await failureOf(admin.unary(rpc.getTenant, { id: tenant.id }))).toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(await admin.unary(rpc.deleteTenant, { id: tenant.id })).toEqual({ success: true });
    await all(admin.stream(rpc.watchProvisioning, { tenantId: tenant.id, afterSequence: 0 }));

    const restored = await admin.unary(rpc.restoreTenant, { id: tenant.id });
    expect(restored.tenant).toMatchObject({ id: tenant.id, subdomain: 'gone', deletedAt: '' });
    expect(await settled(tenant.id)).toMatchObject({ status: 'active', deletedAt: '' });
  });

  test('an id that never was is unknown to both', async () => {
    const id = randomUUID();
    expect(await failureOf(admin.unary(rpc.deleteTenant, { id }))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await failureOf(admin.unary(rpc.restoreTenant, { id }))).toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a subdomain that was taken meanwhile cannot be restored', async () => {
    const { id } = await createActive('lost');
    await admin.unary(rpc.deleteTenant, { id });
    await create('lost');
    expect(await failureOf(admin.unary(rpc.restoreTenant, { id }))).toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  test('a tenant that is not deleted cannot be restored', async () => {
    const { id } = await createActive('never-gone');
    expect(await failureOf(admin.unary(rpc.restoreTenant, { id }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('ListTenants', () => {
  const filter = { pageSize: 0, pageToken: '', status: [], tier: '', search: '', deleted: '' };

  test('pages through the tenants of a filter in the order of their creation', async () => {
    const ids: string[] = [];
    for (const number of [1, 2, 3, 4, 5]) ids.push((await create(`listed-${number}`)).id);
    const pages: string[][] = [];
    let pageToken = '';
    do {
      const page = await editor.unary(rpc.listTenants, {
        ...filter,
        search: 'listed-',
        pageSize: 2,
        pageToken,
      });
      pages.push(page.tenants.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(pages).toEqual([ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
  });

  test('filters by tier and status', async () => {
    const { tenant } = await editor.unary(rpc.createTenant, { ...request('tiered'), tier: 'gold' });
    const { id } = await settled(present(tenant).id);
    const ids = async (status: string[]) =>
      (await editor.unary(rpc.listTenants, { ...filter, tier: 'gold', status })).tenants.map(
        (found) => found.id,
      );
    expect(await ids([])).toEqual([id]);
    expect(await ids(['error', 'active', 'active'])).toEqual([id]);
    expect(await ids(['inactive'])).toEqual([]);
  });

  test('shows deleted tenants to admins alone', async () => {
    const { id } = await createActive('hidden');
    await admin.unary(rpc.deleteTenant, { id });
    const listed = async (caller: Caller, deleted: string) =>
      (await caller.unary(rpc.listTenants, { ...filter, search: 'hidden', deleted })).tenants;
    expect(await listed(editor, '')).toEqual([]);
    expect(await listed(editor, 'exclude')).toEqual([]);
    expect(await listed(admin, 'include')).toMatchObject([{ id, deletedAt: expect.stringMatching(rfc3339) }]);
    expect(await listed(admin, 'only')).toMatchObject([{ id }]);
    expect(await failureOf(listed(editor, 'include'))).toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(await failureOf(listed(editor, 'only'))).toMatchObject({ code: 'PERMISSION_DENIED' });
  });

  test.each([
    ['page_size', { pageSize: 101 }],
    ['page_size', { pageSize: -1 }],
    ['page_token', { pageToken: 'nonsense' }],
    ['status.0', { status: ['gone'] }],
    ['deleted', { deleted: 'yes' }],
    ['tier', { tier: 'x'.repeat(51) }],
    ['search', { search: '\u0000' }],
  ])('refuses a bad %s', async (field, bad) => {
    expect(await failureOf(admin.unary(rpc.listTenants, { ...filter, ...bad }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      fields: [field],
    });
  });
});

describe('RetryOperation and CancelOperation', () => {
  async function operationOf(subdomain: string): Promise<string> {
    const { id } = await createActive(subdomain);
    return (await app.core.tenants.get(id)).operationId ?? '';
  }

  test('an operation that succeeded can be neither retried nor cancelled', async () => {
    const id = await operationOf('succeeded');
    for (const method of [rpc.retryOperation, rpc.cancelOperation]) {
      expect(await failureOf(editor.unary(method, { id }))).toMatchObject({
        code: 'FAILED_PRECONDITION',
        reason: 'INVALID_STATE',
      });
    }
  });

  test('an unknown operation and a bad id are what they are', async () => {
    for (const method of [rpc.retryOperation, rpc.cancelOperation]) {
      expect(await failureOf(editor.unary(method, { id: randomUUID() }))).toMatchObject({
        code: 'NOT_FOUND',
      });
      expect(await failureOf(editor.unary(method, { id: 'operation_1' }))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        fields: ['id'],
      });
    }
  });
});

test('an answer never holds the contact address', async () => {
  const metadata: CallOptions['metadata'] = [['idempotency-key', randomUUID()]];
  const answers = [
    await editor.unary(rpc.createTenant, request('private'), { metadata }),
    await admin.unary(rpc.listTenants, {
      pageSize: 0,
      pageToken: '',
      status: [],
      tier: '',
      search: 'private',
      deleted: '',
    }),
  ];
  expect(JSON.stringify(answers)).not.toContain('owner@');
});
