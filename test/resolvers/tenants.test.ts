import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operationSteps } from '../../src/core/operation-steps.ts';
import { dataOf, type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp();
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const uuid = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const operationId = expect.stringMatching(/^operation_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

const failure = `... on Error { __typename code message }
  ... on ValidationError { fieldErrors { path message } }`;
const create = `mutation ($input: CreateTenantInput!) {
  createTenant(input: $input) {
    ... on CreateTenantPayload { tenant { id version } operation { id } }
    ${failure}
  }
}`;
const update = `mutation ($input: UpdateTenantInput!) {
  updateTenant(input: $input) {
    ... on UpdateTenantPayload { tenant { name subdomain contactEmail tier version } }
    ${failure}
    ... on VersionConflictError { currentVersion }
  }
}`;
/** A mutation that takes an id and answers with the tenant and its operation. */
const change = (name: string) => `mutation ($id: ID!) {
  ${name}(id: $id) {
    ... on ${name[0]?.toUpperCase()}${name.slice(1)}Payload {
      tenant { id status deletedAt operation { kind } }
      operation { kind state tenant { id } }
    }
    ${failure}
  }
}`;
const operationChange = (name: string) => `mutation ($id: ID!) {
  ${name}(id: $id) { ... on ${name[0]?.toUpperCase()}${name.slice(1)}Payload { operation { id state } } ${failure} }
}`;

interface Created {
  readonly createTenant: {
    readonly tenant: { readonly id: string };
    readonly operation: { readonly id: string };
  };
}

function input(subdomain: string, more: object = {}) {
  return { name: `Tenant ${subdomain}`, subdomain, contactEmail: `owner@${subdomain}.example`, ...more };
}

async function created(subdomain: string): Promise<{ id: string; operation: string }> {
  const data = (await client.data('editor', create, { input: input(subdomain) })) as Created;
  return { id: data.createTenant.tenant.id, operation: data.createTenant.operation.id };
}

/** Returns when no operation of the tenant is unfinished. */
async function settled(id: string): Promise<void> {
  using stream = await client.stream(
    'admin',
    'subscription ($id: ID!) { tenantProvisioning(tenantId: $id) { sequence } }',
    { id },
  );
  await dataOf(stream, 'tenantProvisioning');
}

async function active(subdomain: string): Promise<{ id: string; operation: string }> {
  const tenant = await created(subdomain);
  await settled(tenant.id);
  return tenant;
}

describe('createTenant', () => {
  test('answers with the tenant and the operation that provisions it', async () => {
    await using idle = await startTestApp({ worker: false });
    const data = await graphqlClient(idle).data(
      'admin',
      `mutation ($input: CreateTenantInput!) {
        createTenant(input: $input) {
          ... on CreateTenantPayload {
            tenant {
              __typename id name subdomain contactEmail tier status version schemaVersion createdAt updatedAt deletedAt
              operation { id }
              operations { nodes { kind } pageInfo { hasNextPage hasPreviousPage } }
            }
            operation {
              __typename id kind state attempt error nextAttemptAt createdAt startedAt finishedAt
              tenant { name }
              steps { name status startedAt finishedAt error }
            }
          }
        }
      }`,
      { input: { name: ' Acme ', subdomain: ' ACME ', contactEmail: ' Jo@Acme.example ' } },
    );
    const step = (name: string) => ({
      name,
      status: 'PENDING',
      startedAt: null,
      finishedAt: null,
      error: null,
    });
    expect(data).toEqual({
      createTenant: {
        tenant: {
          __typename: 'Tenant',
          id: uuid,
          name: 'Acme',
          subdomain: 'acme',
          contactEmail: 'Jo@Acme.example',
          tier: 'standard',
          status: 'PROVISIONING',
          version: 1,
          schemaVersion: 0,
          createdAt: time,
          updatedAt: time,
          deletedAt: null,
          operation: { id: operationId },
          operations: {
            nodes: [{ kind: 'PROVISION' }],
            pageInfo: { hasNextPage: false, hasPreviousPage: false },
          },
        },
        operation: {
          __typename: 'Operation',
          id: operationId,
          kind: 'PROVISION',
          state: 'PENDING',
          attempt: 0,
          error: null,
          nextAttemptAt: null,
          createdAt: time,
          startedAt: null,
          finishedAt: null,
          tenant: { name: 'Acme' },
          steps: operationSteps.PROVISION.map(step),
        },
      },
    });
  });

  test('brings the tenant up', async () => {
    const { id } = await active('comes-up');
    expect(
      await client.data(
        'viewer',
        'query ($id: ID!) { tenant(id: $id) { status operation { state steps { status } } } }',
        {
          id,
        },
      ),
    ).toEqual({
      tenant: {
        status: 'ACTIVE',
        operation: { state: 'SUCCEEDED', steps: operationSteps.PROVISION.map(() => ({ status: 'SUCCESS' })) },
      },
    });
  });

  test('names every field that breaks a rule', async () => {
    expect(
      await client.data('editor', create, {
        input: { name: ' ', subdomain: 'no_label', contactEmail: 'nobody', tier: 'x'.repeat(51) },
      }),
    ).toEqual({
      createTenant: {
        __typename: 'ValidationError',
        code: 'BAD_USER_INPUT',
        message:
          'name must not be empty; subdomain must be a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens; contactEmail must be an e-mail address; tier must have at most 50 characters',
        fieldErrors: [
          { path: 'name', message: 'must not be empty' },
          { path: 'subdomain', message: 'must be a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens' },
          { path: 'contactEmail', message: 'must be an e-mail address' },
          { path: 'tier', message: 'must have at most 50 characters' },
        ],
      },
    });
  });

  test('refuses a subdomain that another live tenant has', async () => {
    await created('taken');
    expect(await client.data('editor', create, { input: input('TAKEN') })).toEqual({
      createTenant: {
        __typename: 'SubdomainTakenError',
        code: 'SUBDOMAIN_TAKEN',
        message: 'The subdomain "taken" belongs to another tenant; choose another one.',
      },
    });
  });

  test('answers a repeated request with what the first one made, and refuses another under its key', async () => {
    const idempotencyKey = randomUUID();
    const first = await client.data('editor', create, { input: input('once', { idempotencyKey }) });
    const again = await client.data('editor', create, { input: input('once', { idempotencyKey }) });
    expect(again).toMatchObject({
      createTenant: { tenant: { id: (first as Created).createTenant.tenant.id } },
    });
    expect(await client.data('editor', create, { input: input('twice', { idempotencyKey }) })).toEqual({
      createTenant: {
        __typename: 'IdempotencyConflictError',
        code: 'IDEMPOTENCY_CONFLICT',
        message: 'This idempotency key was used with another input; use a new key for a new request.',
      },
    });
  });
});

describe('updateTenant', () => {
  test('changes what is given and nothing else', async () => {
    const { id } = await active('changes');
    expect(
      await client.data('editor', update, {
        input: { id, name: 'Renamed', tier: null, expectedVersion: null },
      }),
    ).toMatchObject({
      updateTenant: {
        tenant: { name: 'Renamed', subdomain: 'changes', contactEmail: null, tier: 'standard' },
      },
    });
    expect(
      await client.data('admin', update, {
        input: { id, subdomain: 'changed', contactEmail: 'new@changed.example', tier: 'gold' },
      }),
    ).toMatchObject({
      updateTenant: {
        tenant: { name: 'Renamed', subdomain: 'changed', contactEmail: 'new@changed.example', tier: 'gold' },
      },
    });
  });

  test('refuses a change to another version than the present one', async () => {
    const { id } = await active('versions');
    const { tenant } = (await client.data('viewer', 'query ($id: ID!) { tenant(id: $id) { version } }', {
      id,
    })) as {
      tenant: { version: number };
    };
    const rename = { id, name: 'Again', expectedVersion: tenant.version };
    expect(await client.data('editor', update, { input: rename })).toMatchObject({
      updateTenant: { tenant: { version: tenant.version + 1 } },
    });
    expect(await client.data('editor', update, { input: rename })).toEqual({
      updateTenant: {
        __typename: 'VersionConflictError',
        code: 'VERSION_CONFLICT',
        message: `The tenant is at version ${tenant.version + 1}, not ${tenant.version}; read it again and repeat the change.`,
        currentVersion: tenant.version + 1,
      },
    });
  });

  test('refuses a taken subdomain, an unknown tenant and a bad id', async () => {
    await created('mine');
    const { id } = await created('yours');
    expect(await client.data('editor', update, { input: { id, subdomain: 'mine' } })).toMatchObject({
      updateTenant: { code: 'SUBDOMAIN_TAKEN' },
    });
    expect(
      await client.data('editor', update, { input: { id: randomUUID(), name: 'Nobody' } }),
    ).toMatchObject({
      updateTenant: { code: 'NOT_FOUND' },
    });
    expect(await client.data('editor', update, { input: { id: 'nobody', name: 'Nobody' } })).toMatchObject({
      updateTenant: { code: 'BAD_USER_INPUT', fieldErrors: [{ path: 'id', message: 'must be a UUID' }] },
    });
  });
});

describe('deleteTenant and restoreTenant', () => {
  test('hide the tenant and bring it back', async () => {
    const { id } = await active('comes-back');
    expect(await client.data('admin', change('deleteTenant'), { id })).toEqual({
      deleteTenant: {
        tenant: { id, status: 'ACTIVE', deletedAt: time, operation: { kind: 'DELETE' } },
        operation: { kind: 'DELETE', state: 'PENDING', tenant: { id } },
      },
    });
    const look = `query ($id: ID!) {
      tenant(id: $id) { id }  tenantBySubdomain(subdomain: "comes-back") { id }
      node(id: $id) { id }  nodes(ids: [$id]) { id }
    }`;
    expect(await client.data('admin', look, { id })).toEqual({
      tenant: null,
      tenantBySubdomain: null,
      node: null,
      nodes: [null],
    });
    await settled(id);
    expect(await client.data('admin', change('restoreTenant'), { id })).toEqual({
      restoreTenant: {
        tenant: { id, status: 'ACTIVE', deletedAt: null, operation: { kind: 'RESTORE' } },
        operation: { kind: 'RESTORE', state: 'PENDING', tenant: { id } },
      },
    });
    expect(await client.data('admin', look, { id })).toEqual({
      tenant: { id },
      tenantBySubdomain: { id },
      node: { id },
      nodes: [{ id }],
    });
  });

  test('a deleted tenant does not exist for another deletion or a change', async () => {
    const { id } = await active('gone');
    await client.data('admin', change('deleteTenant'), { id });
    const absent = {
      __typename: 'NotFoundError',
      code: 'NOT_FOUND',
      message: 'There is no such tenant; check the id, and whether it was deleted.',
    };
    expect(await client.data('admin', change('deleteTenant'), { id })).toEqual({ deleteTenant: absent });
    expect(await client.data('admin', change('suspendTenant'), { id })).toEqual({ suspendTenant: absent });
    expect(await client.data('admin', update, { input: { id, name: 'Ghost' } })).toEqual({
      updateTenant: absent,
    });
  });

  test('restoring a live tenant is refused, and so is one whose subdomain was taken meanwhile', async () => {
    const { id } = await active('contested');
    // The subdomain is looked at first, and it is free of others.
    expect(await client.data('admin', change('restoreTenant'), { id })).toMatchObject({
      restoreTenant: {
        __typename: 'InvalidStateError',
        message: 'The tenant is not deleted; there is nothing to restore.',
      },
    });
    await client.data('admin', change('deleteTenant'), { id });
    await settled(id);
    await created('contested');
    expect(await client.data('admin', change('restoreTenant'), { id })).toMatchObject({
      restoreTenant: { __typename: 'SubdomainTakenError', code: 'SUBDOMAIN_TAKEN' },
    });
  });

  test('admins see deleted tenants when they ask for them', async () => {
    const { id } = await active('shown');
    await client.data('admin', change('deleteTenant'), { id });
    const look = `query ($id: ID!, $deleted: DeletedFilter) {
      tenant(id: $id, deleted: $deleted) { id contactEmail operation { kind tenant { id } } }
    }`;
    const shown = {
      tenant: { id, contactEmail: 'owner@shown.example', operation: { kind: 'DELETE', tenant: { id } } },
    };
    expect(await client.data('admin', look, { id, deleted: 'INCLUDE' })).toEqual(shown);
    expect(await client.data('admin', look, { id, deleted: 'ONLY' })).toEqual(shown);
    expect(await client.data('admin', look, { id, deleted: 'EXCLUDE' })).toEqual({ tenant: null });
    expect(await client.data('admin', look, { id, deleted: null })).toEqual({ tenant: null });
  });
});

describe('suspendTenant and resumeTenant', () => {
  test('are refused in another state', async () => {
    const { id } = await active('running');
    expect(await client.data('admin', change('resumeTenant'), { id })).toEqual({
      resumeTenant: {
        __typename: 'InvalidStateError',
        code: 'INVALID_STATE',
        message: 'Only a tenant that is inactive can become active; this one is active.',
      },
    });
  });

  test('refuse an unknown tenant and a bad id', async () => {
    for (const name of ['suspendTenant', 'resumeTenant', 'deleteTenant', 'restoreTenant']) {
      expect(await client.data('admin', change(name), { id: randomUUID() })).toMatchObject({
        [name]: { __typename: 'NotFoundError', code: 'NOT_FOUND' },
      });
      expect(await client.data('admin', change(name), { id: 'nobody' })).toEqual({
        [name]: {
          __typename: 'ValidationError',
          code: 'BAD_USER_INPUT',
          message: 'id must be a UUID',
          fieldErrors: [{ path: 'id', message: 'must be a UUID' }],
        },
      });
    }
  });
});

describe('retryOperation and cancelOperation', () => {
  test('are refused for an operation that succeeded', async () => {
    const { operation: id } = await active('finished');
    for (const name of ['retryOperation', 'cancelOperation']) {
      expect(await client.data('editor', operationChange(name), { id })).toMatchObject({
        [name]: { __typename: 'InvalidStateError', code: 'INVALID_STATE' },
      });
    }
  });

  test('refuse an unknown operation and the id of something else', async () => {
    for (const name of ['retryOperation', 'cancelOperation']) {
      expect(
        await client.data('editor', operationChange(name), { id: `operation_${randomUUID()}` }),
      ).toMatchObject({ [name]: { __typename: 'NotFoundError', code: 'NOT_FOUND' } });
      expect(await client.data('editor', operationChange(name), { id: randomUUID() })).toMatchObject({
        [name]: {
          __typename: 'ValidationError',
          code: 'BAD_USER_INPUT',
          fieldErrors: [{ path: 'id', message: 'must be the id of an operation' }],
        },
      });
    }
  });
});

describe('queries', () => {
  const look = `query ($tenant: ID!, $operation: ID!, $subdomain: String!) {
    tenant(id: $tenant) { id name }
    tenantBySubdomain(subdomain: $subdomain) { id operation { id } }
    operation(id: $operation) { id tenant { id } }
    node(id: $tenant) { __typename id ... on Tenant { name operation { id } } }
    other: node(id: $operation) { __typename id ... on Operation { kind tenant { name } } }
    nodes(ids: [$operation, $tenant, $operation]) { __typename id }
  }`;

  test('find a tenant and its operation by each of their names', async () => {
    const { id, operation } = await active('found');
    expect(
      await client.data('viewer', look, { tenant: id.toUpperCase(), operation, subdomain: ' FOUND ' }),
    ).toEqual({
      tenant: { id, name: 'Tenant found' },
      tenantBySubdomain: { id, operation: { id: operation } },
      operation: { id: operation, tenant: { id } },
      node: { __typename: 'Tenant', id, name: 'Tenant found', operation: { id: operation } },
      other: { __typename: 'Operation', id: operation, kind: 'PROVISION', tenant: { name: 'Tenant found' } },
      nodes: [
        { __typename: 'Operation', id: operation },
        { __typename: 'Tenant', id },
        { __typename: 'Operation', id: operation },
      ],
    });
  });

  test('read null where nothing is', async () => {
    const unknown = randomUUID();
    expect(
      await client.data('viewer', look, {
        tenant: unknown,
        operation: `operation_${unknown}`,
        subdomain: "'; DROP TABLE tenants; --",
      }),
    ).toEqual({
      tenant: null,
      tenantBySubdomain: null,
      operation: null,
      node: null,
      other: null,
      nodes: [null, null, null],
    });
  });

  test.each([
    ['{ tenant(id: "x") { id } }', 'id', 'must be a UUID'],
    ['{ node(id: "x") { id } }', 'id', 'is not the id of a node'],
    [
      '{ nodes(ids: ["00000000-0000-0000-0000-000000000000", "x"]) { id } }',
      'ids.1',
      'is not the id of a node',
    ],
    [
      '{ operation(id: "00000000-0000-0000-0000-000000000000") { id } }',
      'id',
      'must be the id of an operation',
    ],
    ['{ tenants(first: 101) { nodes { id } } }', 'first', 'must be at most 100'],
    ['{ tenants(last: -1) { nodes { id } } }', 'last', 'must not be negative'],
    ['{ tenants(first: 1, last: 1) { nodes { id } } }', 'last', 'cannot be given together with first'],
    ['{ tenants(after: "x") { nodes { id } } }', 'after', 'is not a cursor of this list'],
    ['{ tenants(before: "") { nodes { id } } }', 'before', 'is not a cursor of this list'],
    ['{ tenants(filter: { search: "" }) { nodes { id } } }', 'filter.search', 'must not be empty'],
    [
      '{ tenants(filter: { contactEmail: "x" }) { nodes { id } } }',
      'filter.contactEmail',
      'must be an e-mail address',
    ],
  ])('refuse the arguments of %s', async (query, path, message) => {
    const { body } = await client.run('admin', query);
    expect(body.errors).toMatchObject([
      {
        message: `${path} ${message}`,
        extensions: { code: 'BAD_USER_INPUT', fieldErrors: [{ path, message }] },
      },
    ]);
  });
});
