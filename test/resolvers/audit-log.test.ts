import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { activeTenant, type CoreApp, newTenant, startCore } from '../core/core-app.ts';
import { type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { actor } from '../support/actor.ts';
import { auditTrail, entry } from '../support/audit-trail.ts';

let app: CoreApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startCore({ worker: false });
  client = graphqlClient(app.app);
});
afterAll(() => app[Symbol.asyncDispose]());

describe('of a mutation', () => {
  const by = (role: string) => ({ subject: `test-${role}`, role, transport: 'GRAPHQL' });
  const create = 'mutation ($input: CreateTenantInput!) { createTenant(input: $input) { __typename } }';

  test('that changes something there is one entry', async () => {
    const trail = await auditTrail(app);
    await client.data('editor', create, { input: newTenant() });
    const id = await activeTenant(app);
    await trail.news();
    const rename = `mutation { updateTenant(input: { id: "${id}", name: "Renamed" }) { __typename } }`;
    await client.data('editor', rename);
    await client.data('admin', `mutation { suspendTenant(id: "${id}") { __typename } }`);
    const { operationId } = await app.core.tenants.get(id);
    await client.data(
      'editor',
      `mutation { cancelOperation(id: "operation_${operationId}") { __typename } }`,
    );
    expect(await trail.news()).toEqual(
      [
        { ...by('editor'), action: 'UPDATE_TENANT', fields: ['name'] },
        { ...by('admin'), action: 'SUSPEND_TENANT', operation_id: operationId },
        { ...by('editor'), action: 'CANCEL_OPERATION', operation_id: operationId },
      ].map((told) => entry({ tenant_id: id, ...told })),
    );
  });

  test('that is refused there is one, whoever refuses it', async () => {
    const trail = await auditTrail(app);
    const id = await activeTenant(app);
    const { operationId } = await app.core.tenants.get(id);
    const taken = (await app.core.tenants.get(id)).subdomain;
    await trail.news();
    await client.run('viewer', create, { input: newTenant() });
    await client.run('editor', create, { input: { ...newTenant(), name: '' } });
    await client.run('editor', create, { input: { ...newTenant(), subdomain: taken } });
    await client.run('editor', `mutation { deleteTenant(id: "${id}") { __typename } }`);
    await client.run('admin', `mutation { resumeTenant(id: "${id}") { __typename } }`);
    await client.run('admin', 'mutation { restoreTenant(id: "jo@audited.example") { __typename } }');
    await client.run('admin', `mutation { retryOperation(id: "operation_${operationId}") { __typename } }`);
    const stale = `mutation { updateTenant(input: { id: "${id}", expectedVersion: 99 }) { __typename } }`;
    await client.run('editor', stale);
    // Nobody, and nothing that would have been a change.
    await client.run(null, create, { input: newTenant() });
    await client.run('viewer', `{ tenant(id: "${id}", deleted: ONLY) { id } }`);
    expect(await trail.news()).toEqual(
      [
        { ...by('viewer'), action: 'CREATE_TENANT', result: 'FORBIDDEN' },
        { ...by('editor'), action: 'CREATE_TENANT', result: 'BAD_USER_INPUT' },
        { ...by('editor'), action: 'CREATE_TENANT', result: 'SUBDOMAIN_TAKEN' },
        { ...by('editor'), action: 'DELETE_TENANT', tenant_id: id, result: 'FORBIDDEN' },
        { ...by('admin'), action: 'RESUME_TENANT', tenant_id: id, result: 'INVALID_STATE' },
        { ...by('admin'), action: 'RESTORE_TENANT', result: 'BAD_USER_INPUT' },
        {
          ...by('admin'),
          action: 'RETRY_OPERATION',
          tenant_id: id,
          operation_id: operationId,
          result: 'INVALID_STATE',
        },
        { ...by('editor'), action: 'UPDATE_TENANT', tenant_id: id, result: 'VERSION_CONFLICT' },
      ].map(entry),
    );
  });

  test('a second deletion is a refusal here', async () => {
    const trail = await auditTrail(app);
    const id = await activeTenant(app);
    await trail.news();
    const remove = `mutation { deleteTenant(id: "${id}") { ... on Error { code } } }`;
    await client.data('admin', remove);
    expect(await client.data('admin', remove)).toEqual({ deleteTenant: { code: 'NOT_FOUND' } });
    expect((await trail.news()).map(({ result }) => result)).toEqual(['OK', 'NOT_FOUND']);
  });
});

interface Page {
  readonly nodes: readonly Record<string, unknown>[];
  readonly edges: readonly { readonly cursor: string }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
}

async function auditLog(args: object): Promise<Page> {
  const data = (await client.data(
    'admin',
    `query ($first: Int, $after: String, $last: Int, $before: String, $filter: AuditFilter) {
      auditLog(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
        nodes { id createdAt subject role transport address action tenantId operationId leaseId fields result }
        edges { cursor }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }`,
    args,
  )) as { auditLog: Page };
  return data.auditLog;
}

describe('reading', () => {
  const subject = 'somebody';
  const tenants: string[] = [];
  /** The names that were written, the last first. */
  const whole = async () => (await auditLog({ filter: { subject } })).nodes;

  beforeAll(async () => {
    const by = actor('editor', subject);
    for (let number = 0; number < 3; number++) {
      const { tenant } = await app.core.tenants.create(by, newTenant());
      tenants.push(tenant.id);
      await app.core.tenants.update(by, { id: tenant.id, name: `Number ${number}` });
    }
    await app.core.audit.refused(by, { action: 'DELETE_TENANT', tenantId: tenants[0] }, 'NOT_FOUND');
  });

  test('shows the newest first, with all that there is', async () => {
    const { nodes } = await auditLog({ filter: { subject, tenantId: tenants[0]?.toUpperCase() } });
    const { operationId } = await app.core.tenants.get(tenants[0] ?? '');
    const told = {
      id: expect.stringMatching(/^audit_\d+$/),
      createdAt: expect.stringMatching(/^20.*Z$/),
      subject,
      role: 'editor',
      transport: 'GRAPHQL',
      address: '127.0.0.1',
      tenantId: tenants[0],
      operationId: null,
      leaseId: null,
      fields: [],
      result: 'OK',
    };
    expect(nodes).toEqual([
      { ...told, action: 'DELETE_TENANT', result: 'NOT_FOUND' },
      { ...told, action: 'UPDATE_TENANT', fields: ['name'] },
      { ...told, action: 'CREATE_TENANT', operationId: `operation_${operationId}` },
    ]);
  });

  test('goes forwards and backwards', async () => {
    const ids = (await whole()).map(({ id }) => id);
    expect(ids).toHaveLength(7);
    const forwards: unknown[] = [];
    for (let after: string | null = null; ; ) {
      const page = await auditLog({ filter: { subject }, first: 3, after });
      forwards.push(...page.nodes.map(({ id }) => id));
      expect(page.pageInfo.hasPreviousPage).toBe(after !== null);
      after = page.pageInfo.endCursor;
      if (!page.pageInfo.hasNextPage) break;
    }
    expect(forwards).toEqual(ids);
    const backwards: unknown[] = [];
    for (let before: string | null = null; ; ) {
      const page = await auditLog({ filter: { subject }, last: 3, before });
      backwards.unshift(...page.nodes.map(({ id }) => id));
      before = page.pageInfo.startCursor;
      if (!page.pageInfo.hasPreviousPage) break;
    }
    expect(backwards).toEqual(ids);
    const { edges } = await auditLog({ filter: { subject } });
    const between = await auditLog({
      filter: { subject },
      after: edges[0]?.cursor,
      before: edges[3]?.cursor,
    });
    expect(between.nodes.map(({ id }) => id)).toEqual(ids.slice(1, 3));
  });

  test('filters', async () => {
    const all = await whole();
    const [newest, ...rest] = all;
    const actions = async (filter: object) =>
      (await auditLog({ filter: { subject, ...filter } })).nodes.map(({ id }) => id);
    const idsOf = (nodes: typeof all) => nodes.map(({ id }) => id);
    expect(await actions({ result: 'NOT_FOUND' })).toEqual([newest?.id]);
    expect(await actions({ result: 'OK' })).toEqual(idsOf(rest));
    expect(await actions({ action: 'UPDATE_TENANT', tenantId: tenants[1] })).toEqual([rest[2]?.id]);
    expect(await actions({ subject: 'nobody' })).toEqual([]);
    expect(await actions({ action: null, tenantId: null, from: null, to: null })).toEqual(idsOf(all));
    const [early, late] = [rest[4]?.createdAt, rest[1]?.createdAt];
    const within = all.filter(
      ({ createdAt }) => String(createdAt) >= String(early) && String(createdAt) < String(late),
    );
    expect(await actions({ from: early, to: late })).toEqual(idsOf(within));
    const elsewhere = new Date(Date.parse(String(early)) + 3_600_000).toISOString().replace('Z', '+01:00');
    expect(await actions({ from: elsewhere, to: late })).toEqual(idsOf(within));
  });

  test.each<[string, object]>([
    ['a tenant that is no UUID', { filter: { tenantId: 'x' } }],
    ['an unknown action', { filter: { action: 'DROP' } }],
    ['a result that is no code', { filter: { result: 'ok' } }],
    ['a time without its zone', { filter: { from: '2026-01-01T00:00:00' } }],
    ['a time that is a number', { filter: { from: 0 } }],
    ['a time of the year 0', { filter: { to: '0001-01-01T00:00:00+14:00' } }],
    ['a page that is too long', { first: 101 }],
    ['two ends', { first: 1, last: 1 }],
    ['a cursor of another list', { after: Buffer.from('["NAME","x","1"]').toString('base64url') }],
    [
      'a cursor without a number',
      {
        after: Buffer.from(`["AUDIT","2026-01-01T00:00:00.000Z","${randomUUID()}"]`).toString('base64url'),
      },
    ],
  ])('refuses %s', async (_, args) => {
    await expect(auditLog(args)).rejects.toThrow('"code":"BAD_USER_INPUT"');
  });

  test('finds entries by their ids', async () => {
    const [first, second] = await whole();
    const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on AuditEntry { action } } }';
    const ids = [second?.id, `audit_${'9'.repeat(18)}`, first?.id];
    expect(await client.data('admin', query, { ids })).toEqual({
      nodes: [
        { __typename: 'AuditEntry', id: second?.id, action: second?.action },
        null,
        { __typename: 'AuditEntry', id: first?.id, action: first?.action },
      ],
    });
    const { body } = await client.run('admin', query, { ids: [`audit_${'9'.repeat(19)}`] });
    expect(body.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
    // Not even whether there is one.
    const { body: refused } = await client.run('editor', query, { ids: [first?.id] });
    expect(refused.errors?.[0]?.extensions.code).toBe('FORBIDDEN');
    expect(refused.data).toBeNull();
  });
});
