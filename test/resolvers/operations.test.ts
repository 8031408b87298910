import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Role, TenantStatus } from '../../src/core/model.ts';
import { operationSteps, type StartableKind } from '../../src/core/operation-steps.ts';
import { dataOf, type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';

const files = ['0001_workspace.sql applied', '0002_projects.sql applied'];

const create = `mutation ($input: CreateTenantInput!) {
  createTenant(input: $input) { ... on CreateTenantPayload { tenant { id } operation { id } } }
}`;
const watch = `subscription ($id: ID!, $after: Int) {
  tenantProvisioning(tenantId: $id, after: $after) {
    kind operationState sequence step status completedSteps totalSteps message tenantStatus
  }
}`;
/** A mutation that takes the id of a tenant, or of an operation. */
const change = (name: string) => `mutation ($id: ID!) {
  ${name}(id: $id) {
    ... on ${name[0]?.toUpperCase()}${name.slice(1)}Payload { operation { id kind state attempt error } }
    ... on Error { __typename code message }
  }
}`;

interface Operation {
  readonly id: string;
  readonly state: string;
}

interface Event {
  readonly sequence: number;
  readonly [field: string]: unknown;
}

/** A tenant over GraphQL, and how far its watcher is. */
async function tenantOf(client: GraphqlClient, subdomain: string) {
  const input = { name: subdomain, subdomain, contactEmail: 'owner@example.com' };
  const created = (await client.data('editor', create, { input })) as {
    createTenant: { tenant: { id: string }; operation: Operation };
  };
  const { tenant, operation } = created.createTenant;
  let last = 0;
  return {
    id: tenant.id,
    operationId: operation.id,

    /** Answers what the mutation does, or how it is refused. */
    async change(role: Role, name: string, id = tenant.id): Promise<unknown> {
      const { body } = await client.run(role, change(name), { id });
      const [error] = body.errors ?? [];
      return error ? error.extensions.code : Reflect.get(Object(body.data), name);
    },

    /** What watchers were told since the last time, a line each, to the end of the work. */
    async told(role: Role = 'viewer'): Promise<string[]> {
      using stream = await client.stream(role, watch, { id: tenant.id, after: last });
      const events = (await dataOf(stream, 'tenantProvisioning')) as Event[];
      expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => last + index + 1));
      last += events.length;
      return events.map(
        ({ kind, operationState, step, status, completedSteps, totalSteps, tenantStatus, message }) =>
          `${kind} ${operationState} ${step} ${status} ${completedSteps}/${totalSteps} ${tenantStatus} ${message ?? ''}`.trim(),
      );
    },
  };
}

/** What watchers are told of an operation's steps from the first or from this one on, to the end or to this one. */
function stepsOf(
  kind: StartableKind,
  [before, after]: readonly [TenantStatus, TenantStatus],
  { from = 0, failing = '' } = {},
): string[] {
  const steps: readonly string[] = operationSteps[kind];
  const line = (state: string, step: string, status: string, done: number, more = '') =>
    `${kind} ${state} ${step} ${status} ${done}/${steps.length} ${state === 'SUCCEEDED' ? after : before} ${more}`.trim();
  return steps.slice(from).flatMap((step, index) => {
    const done = from + index;
    const parts = step === 'apply_migrations' ? files : [];
    const state = done === steps.length - 1 ? 'SUCCEEDED' : 'RUNNING';
    return [
      line('RUNNING', step, 'IN_PROGRESS', done),
      ...parts.map((part) => line('RUNNING', step, 'IN_PROGRESS', done, part)),
      step === failing
        ? line('FAILED', step, 'FAILED', done, 'refused by the test')
        : line(state, step, 'SUCCESS', done + 1),
    ];
  });
}

function accepted(kind: StartableKind, status: TenantStatus): string {
  return `${kind} PENDING ${operationSteps[kind][0]} PENDING 0/${operationSteps[kind].length} ${status}`;
}

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp();
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

const administer = (sql: string) => asAdministrator(app.administrator, sql);
const mend = () => administer('DROP FUNCTION IF EXISTS refuse CASCADE');
afterEach(mend);

/** A step that cannot be done any more, and is not tried again. */
const refuse = (step: string) =>
  administer(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.step = '${step}' AND NEW.status = 'SUCCESS' THEN RAISE 'refused by the test' USING ERRCODE = '55000'; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON provisioning_events FOR EACH ROW EXECUTE FUNCTION refuse()`);

const pending = (kind: StartableKind) => ({
  operation: { id: expect.stringMatching(/^operation_/), kind, state: 'PENDING', attempt: 0, error: null },
});
const refused = (message: string) => ({ __typename: 'InvalidStateError', code: 'INVALID_STATE', message });

test('a tenant lives through every kind of operation, and its watcher is told of every step', async () => {
  const tenant = await tenantOf(client, 'lives');
  expect(await tenant.told()).toEqual([
    accepted('PROVISION', 'PROVISIONING'),
    ...stepsOf('PROVISION', ['PROVISIONING', 'ACTIVE']),
  ]);

  const changes: [name: string, kind: StartableKind, from: TenantStatus, to: TenantStatus][] = [
    ['suspendTenant', 'SUSPEND', 'ACTIVE', 'INACTIVE'],
    ['deleteTenant', 'DELETE', 'INACTIVE', 'INACTIVE'],
    ['restoreTenant', 'RESTORE', 'INACTIVE', 'INACTIVE'],
    ['resumeTenant', 'RESUME', 'INACTIVE', 'ACTIVE'],
    ['deleteTenant', 'DELETE', 'ACTIVE', 'ACTIVE'],
    ['restoreTenant', 'RESTORE', 'ACTIVE', 'ACTIVE'],
  ];
  for (const [name, kind, from, to] of changes) {
    expect(await tenant.change('viewer', name)).toBe('FORBIDDEN');
    expect(await tenant.change('editor', name)).toBe('FORBIDDEN');
    expect(await tenant.change('admin', name)).toEqual(pending(kind));
    expect(await tenant.told('admin')).toEqual([accepted(kind, from), ...stepsOf(kind, [from, to])]);
  }

  // One that fails and is retried by an editor.
  await refuse('deactivate');
  const { operation } = (await tenant.change('admin', 'suspendTenant')) as { operation: Operation };
  expect(await tenant.told()).toEqual([
    accepted('SUSPEND', 'ACTIVE'),
    ...stepsOf('SUSPEND', ['ACTIVE', 'ACTIVE'], { failing: 'deactivate' }),
  ]);
  await mend();
  expect(await tenant.change('viewer', 'retryOperation', operation.id)).toBe('FORBIDDEN');
  expect(await tenant.change('editor', 'retryOperation', operation.id)).toEqual(pending('SUSPEND'));
  expect(await tenant.told()).toEqual([
    'SUSPEND PENDING deactivate PENDING 2/3 ACTIVE retried',
    ...stepsOf('SUSPEND', ['ACTIVE', 'INACTIVE'], { from: 2 }),
  ]);

  // One that fails and is cancelled by an editor.
  await refuse('activate');
  const { operation: second } = (await tenant.change('admin', 'resumeTenant')) as { operation: Operation };
  expect(await tenant.told()).toEqual([
    accepted('RESUME', 'INACTIVE'),
    ...stepsOf('RESUME', ['INACTIVE', 'INACTIVE'], { failing: 'activate' }),
  ]);
  await mend();
  expect(await tenant.change('viewer', 'cancelOperation', second.id)).toBe('FORBIDDEN');
  expect(await tenant.change('editor', 'cancelOperation', second.id)).toEqual(pending('RESUME'));
  expect(await tenant.told()).toEqual([
    'RESUME PENDING activate PENDING 2/3 INACTIVE cancelling',
    'RESUME RUNNING grant_access IN_PROGRESS 1/3 INACTIVE undoing',
    'RESUME RUNNING grant_access PENDING 1/3 INACTIVE undone',
    'RESUME RUNNING end_sessions IN_PROGRESS 0/3 INACTIVE undoing',
    'RESUME RUNNING end_sessions PENDING 0/3 INACTIVE undone',
    'RESUME CANCELLED end_sessions PENDING 0/3 INACTIVE cancelled',
  ]);

  const look = `query ($id: ID!) {
    tenant(id: $id) { status deletedAt operation { id } operations { nodes { kind state error finishedAt } } }
  }`;
  const finished = (kind: string, state = 'SUCCEEDED') => ({
    kind,
    state,
    error: null,
    finishedAt: expect.any(String),
  });
  expect(await client.data('viewer', look, { id: tenant.id })).toEqual({
    tenant: {
      status: 'INACTIVE',
      deletedAt: null,
      operation: { id: second.id },
      operations: {
        nodes: [
          finished('PROVISION'),
          ...changes.map(([, kind]) => finished(kind)),
          finished('SUSPEND'),
          finished('RESUME', 'CANCELLED'),
        ],
      },
    },
  });
});

test('a provisioning that failed is cancelled, which deletes the tenant, and it may be restored', async () => {
  await refuse('activate');
  const tenant = await tenantOf(client, 'called-off');
  expect((await tenant.told()).at(-1)).toBe('PROVISION FAILED activate FAILED 4/5 ERROR refused by the test');
  await mend();
  expect(await tenant.change('editor', 'cancelOperation', tenant.operationId)).toEqual(pending('PROVISION'));
  expect((await tenant.told('admin')).at(-1)).toBe(
    'PROVISION CANCELLED create_role PENDING 0/5 ERROR cancelled',
  );
  const look = `query ($id: ID!) { tenant(id: $id) { id } node(id: $id) { id } }`;
  expect(await client.data('admin', look, { id: tenant.id })).toEqual({ tenant: null, node: null });
  const steps = `query ($id: ID!) { operation(id: $id) { state tenant { id } steps { status error } } }`;
  expect(await client.data('viewer', steps, { id: tenant.operationId })).toEqual({
    operation: {
      state: 'CANCELLED',
      tenant: { id: tenant.id },
      steps: operationSteps.PROVISION.map(() => ({ status: 'PENDING', error: null })),
    },
  });
  expect(await tenant.change('admin', 'restoreTenant')).toEqual(pending('PROVISION'));
  expect(await tenant.told()).toEqual([
    accepted('PROVISION', 'PROVISIONING'),
    ...stepsOf('PROVISION', ['PROVISIONING', 'ACTIVE']),
  ]);
});

describe('while an operation is unfinished', () => {
  test('another one is refused, also once it is being cancelled; a deletion is not, and cannot be cancelled', async () => {
    await using idle = await startTestApp({ worker: false });
    const tenant = await tenantOf(graphqlClient(idle), 'busy');
    const { operationId } = tenant;
    const unfinished = refused(
      `The tenant's PROVISION operation is not finished; wait for its end and try again.`,
    );
    const retried = refused('Only a failed operation can be retried; this one is PENDING.');
    expect(await tenant.change('admin', 'suspendTenant')).toEqual(unfinished);
    expect(await tenant.change('editor', 'retryOperation', operationId)).toEqual(retried);
    expect(await tenant.change('editor', 'cancelOperation', operationId)).toEqual(pending('PROVISION'));
    expect(await tenant.change('editor', 'cancelOperation', operationId)).toEqual(
      refused('The operation is being cancelled already.'),
    );
    expect(await tenant.change('editor', 'retryOperation', operationId)).toEqual(retried);
    expect(await tenant.change('admin', 'resumeTenant')).toEqual(unfinished);
    const { operation } = (await tenant.change('admin', 'deleteTenant')) as { operation: Operation };
    expect(operation.state).toBe('PENDING');
    expect(await tenant.change('editor', 'cancelOperation', operation.id)).toEqual(
      refused('A deletion cannot be cancelled; restoring the tenant takes it back.'),
    );
    expect(await tenant.change('editor', 'cancelOperation', operationId)).toEqual(
      refused('Only an operation that is not finished, or failed, can be cancelled; this one is CANCELLED.'),
    );
    expect(await tenant.change('admin', 'suspendTenant')).toMatchObject({ code: 'NOT_FOUND' });
  });
});
