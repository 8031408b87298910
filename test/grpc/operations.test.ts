import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { operationSteps, type StartableKind } from '../../src/core/operation-steps.ts';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';
import { all, type Caller, connect, failureOf } from './grpc-client.ts';

const files = ['0001_workspace.sql applied', '0002_projects.sql applied'];

/** A tenant over gRPC, and how far its watcher is. */
async function tenantOf({ grpcAddress, tokens, core }: TestApp, subdomain: string) {
  const stack = new DisposableStack();
  const viewer = stack.use(connect(grpcAddress, tokens.viewer));
  const editor = stack.use(connect(grpcAddress, tokens.editor));
  const admin = stack.use(connect(grpcAddress, tokens.admin));
  const { tenant } = await editor.unary(rpc.createTenant, {
    name: subdomain,
    subdomain,
    contactEmail: 'owner@example.com',
    tier: '',
  });
  const id = tenant?.id ?? '';
  let last = 0;
  return {
    id,
    viewer,
    editor,
    admin,
    suspend: (by: Caller) => by.unary(rpc.updateTenant, { id, name: '', subdomain: '', status: 'inactive' }),
    resume: (by: Caller) => by.unary(rpc.updateTenant, { id, name: '', subdomain: '', status: 'active' }),
    remove: (by: Caller) => by.unary(rpc.deleteTenant, { id }),
    restore: (by: Caller) => by.unary(rpc.restoreTenant, { id }),
    retry: async (by: Caller) => by.unary(rpc.retryOperation, { id: await newest() }),
    cancel: async (by: Caller) => by.unary(rpc.cancelOperation, { id: await newest() }),
    status: async () => (await admin.unary(rpc.getTenant, { id })).tenant?.status,

    /** What watchers were told since the last time, a line each, to the end of the work. */
    async told(by: Caller = viewer): Promise<string[]> {
      const events = await all(by.stream(rpc.watchProvisioning, { tenantId: id, afterSequence: last }));
      expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => last + index + 1));
      last += events.length;
      return events.map(
        ({ kind, operationState, step, status, completedSteps, totalSteps, tenantStatus, message }) =>
          `${kind} ${operationState} ${step} ${status} ${completedSteps}/${totalSteps} ${tenantStatus} ${message}`.trim(),
      );
    },
    [Symbol.dispose]: () => stack.dispose(),
  };

  async function newest(): Promise<string> {
    return (await core.tenants.get(id, 'INCLUDE')).operationId ?? '';
  }
}

/** What watchers are told of an operation from its acceptance, or from this step on, to its end or to this step. */
function toldOf(
  kind: StartableKind,
  [before, after]: readonly [string, string],
  { from = 0, failing = '' } = {},
): string[] {
  const steps: readonly string[] = operationSteps[kind];
  const line = (state: string, step: string | undefined, status: string, done: number, more = '') =>
    `${kind.toLowerCase()} ${state} ${step} ${status} ${done}/${steps.length} ${state === 'succeeded' ? after : before} ${more}`.trim();
  const first = line('pending', steps[from], 'pending', from, from > 0 ? 'retried' : '');
  const rest = steps.slice(from).flatMap((step, index) => {
    const done = from + index;
    const parts = step === 'apply_migrations' ? files : [];
    return [
      line('running', step, 'in_progress', done),
      ...parts.map((part) => line('running', step, 'in_progress', done, part)),
      step === failing
        ? line('failed', step, 'failed', done, 'refused by the test')
        : line(done === steps.length - 1 ? 'succeeded' : 'running', step, 'success', done + 1),
    ];
  });
  return [first, ...rest];
}

let app: TestApp;

beforeAll(async () => {
  app = await startTestApp();
});
afterAll(() => app[Symbol.asyncDispose]());

const mend = () => asAdministrator(app.administrator, 'DROP FUNCTION IF EXISTS refuse CASCADE');
afterEach(mend);

/** A step that cannot be done any more, and is not tried again. */
const refuse = (step: string) =>
  asAdministrator(
    app.administrator,
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF NEW.step = '${step}' AND NEW.status = 'SUCCESS' THEN RAISE 'refused by the test' USING ERRCODE = '55000'; END IF;
       RETURN NEW;
     END $$;
     CREATE TRIGGER refuse BEFORE INSERT ON provisioning_events FOR EACH ROW EXECUTE FUNCTION refuse()`,
  );

const denied = { code: 'PERMISSION_DENIED', reason: 'FORBIDDEN' };
const refused = (message: string) => ({
  code: 'FAILED_PRECONDITION',
  message,
  reason: 'INVALID_STATE',
  fields: [],
});
const pending = (kind: string) => ({
  operation: { kind, state: 'pending', attempt: 0, error: '', finishedAt: '' },
});

test('a tenant lives through every kind of operation, and its watcher is told of every step', async () => {
  using tenant = await tenantOf(app, 'lives');
  const { viewer, editor, admin } = tenant;
  expect(await tenant.told()).toEqual(toldOf('PROVISION', ['provisioning', 'active']));

  const changes = [
    [tenant.suspend, 'SUSPEND', 'active', 'inactive'],
    [tenant.remove, 'DELETE', 'inactive', 'inactive'],
    [tenant.restore, 'RESTORE', 'inactive', 'inactive'],
    [tenant.resume, 'RESUME', 'inactive', 'active'],
    [tenant.remove, 'DELETE', 'active', 'active'],
    [tenant.restore, 'RESTORE', 'active', 'active'],
  ] as const;
  for (const [change, kind, from, to] of changes) {
    expect(await failureOf(change(viewer))).toMatchObject(denied);
    expect(await failureOf(change(editor))).toMatchObject(denied);
    await change(admin);
    expect(await tenant.told(admin)).toEqual(toldOf(kind, [from, to]));
  }
  expect(await tenant.status()).toBe('active');

  // One that fails and is retried by an editor.
  await refuse('deactivate');
  await tenant.suspend(admin);
  expect(await tenant.told()).toEqual(toldOf('SUSPEND', ['active', 'active'], { failing: 'deactivate' }));
  await mend();
  expect(await failureOf(tenant.retry(viewer))).toMatchObject(denied);
  expect(await tenant.retry(editor)).toMatchObject(pending('suspend'));
  expect(await tenant.told()).toEqual(toldOf('SUSPEND', ['active', 'inactive'], { from: 2 }));
  expect(await tenant.status()).toBe('inactive');

  // One that fails and is cancelled by an editor.
  await refuse('activate');
  await tenant.resume(admin);
  expect(await tenant.told()).toEqual(toldOf('RESUME', ['inactive', 'inactive'], { failing: 'activate' }));
  await mend();
  expect(await failureOf(tenant.cancel(viewer))).toMatchObject(denied);
  expect(await tenant.cancel(editor)).toMatchObject(pending('resume'));
  expect(await tenant.told()).toEqual([
    'resume pending activate pending 2/3 inactive cancelling',
    'resume running grant_access in_progress 1/3 inactive undoing',
    'resume running grant_access pending 1/3 inactive undone',
    'resume running end_sessions in_progress 0/3 inactive undoing',
    'resume running end_sessions pending 0/3 inactive undone',
    'resume cancelled end_sessions pending 0/3 inactive cancelled',
  ]);
  expect(await tenant.status()).toBe('inactive');
  expect(await failureOf(tenant.cancel(editor))).toEqual(
    refused('Only an operation that is not finished, or failed, can be cancelled; this one is CANCELLED.'),
  );
});

test('a provisioning that failed is cancelled, which deletes the tenant, and it may be restored', async () => {
  await refuse('activate');
  using tenant = await tenantOf(app, 'called-off');
  const { editor, admin } = tenant;
  expect(await tenant.told()).toEqual([
    ...toldOf('PROVISION', ['provisioning', '-'], { failing: 'activate' }).slice(0, -1),
    'provision failed activate failed 4/5 error refused by the test',
  ]);
  expect(await tenant.status()).toBe('error');
  await mend();
  expect(await tenant.cancel(editor)).toMatchObject(pending('provision'));
  expect((await tenant.told(admin)).at(-1)).toBe(
    'provision cancelled create_role pending 0/5 error cancelled',
  );
  expect(await failureOf(tenant.status())).toMatchObject({ code: 'NOT_FOUND' });
  await tenant.restore(admin);
  expect(await tenant.told()).toEqual(toldOf('PROVISION', ['provisioning', 'active']));
});

test('while an operation is unfinished another one is refused, also once it is being cancelled; a deletion is not', async () => {
  await using idle = await startTestApp({ worker: false });
  using tenant = await tenantOf(idle, 'busy');
  const { editor, admin } = tenant;
  const retried = refused('Only a failed operation can be retried; this one is PENDING.');
  const unfinished = refused(
    `The tenant's PROVISION operation is not finished; wait for its end and try again.`,
  );
  expect(await failureOf(tenant.suspend(admin))).toEqual(unfinished);
  expect(await failureOf(tenant.retry(editor))).toEqual(retried);
  expect(await tenant.cancel(editor)).toMatchObject(pending('provision'));
  expect(await failureOf(tenant.cancel(editor))).toEqual(
    refused('The operation is being cancelled already.'),
  );
  expect(await failureOf(tenant.retry(editor))).toEqual(retried);
  expect(await failureOf(tenant.suspend(admin))).toEqual(unfinished);
  expect(await tenant.remove(admin)).toEqual({ success: true });
  expect(await failureOf(tenant.cancel(editor))).toEqual(
    refused('A deletion cannot be cancelled; restoring the tenant takes it back.'),
  );
  expect(await failureOf(tenant.suspend(admin))).toMatchObject({ code: 'NOT_FOUND' });
  expect(await failureOf(tenant.restore(admin))).toEqual(
    refused(`The tenant's DELETE operation is not finished; wait for its end and try again.`),
  );
});
