import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { all, type Caller, connect, failureOf } from './grpc-client.ts';
import { lockTenant } from './tenant-lock.ts';

let app: TestApp;
let editor: Caller;

beforeAll(async () => {
  app = await startTestApp();
  editor = connect(app.grpcAddress, app.tokens.editor);
});

afterAll(async () => {
  editor[Symbol.dispose]();
  await app[Symbol.asyncDispose]();
});

async function createActive(subdomain: string): Promise<string> {
  const contactEmail = 'owner@example.com';
  const { tenant } = await editor.unary(rpc.createTenant, {
    name: 'Held',
    subdomain,
    contactEmail,
    tier: '',
  });
  const id = tenant?.id ?? '';
  await all(editor.stream(rpc.watchProvisioning, { tenantId: id, afterSequence: 0 }));
  return id;
}

/** How often UpdateTenant ended with this code. */
async function ended(code: string): Promise<number> {
  const text = await (await fetch(`${app.httpUrl}/metrics`)).text();
  const [, count] =
    text.match(
      new RegExp(
        `^grpc_server_handled_total\\{[^}]*grpc_method="UpdateTenant",grpc_code="${code}"\\} (\\d+)$`,
        'm',
      ),
    ) ?? [];
  return Number(count ?? 0);
}

describe('a call that waits for a locked row', () => {
  const rename = (id: string) => ({ id, name: 'Renamed', subdomain: '', status: '' });

  test('ends at its deadline, and its statement with it', async () => {
    const id = await createActive('deadline');
    await using lock = await lockTenant(app.database, id);
    const call = editor.unary(rpc.updateTenant, rename(id), { timeoutMs: 300 });
    expect(await failureOf(call)).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await vi.waitFor(async () => expect(await lock.waiting()).toBe(0), 5_000);
    await vi.waitFor(async () => expect(await ended('DEADLINE_EXCEEDED')).toBe(1));
  });

  test('ends when its client cancels it, and its statement with it', async () => {
    const id = await createActive('cancelled');
    await using lock = await lockTenant(app.database, id);
    const controller = new AbortController();
    const failure = failureOf(editor.unary(rpc.updateTenant, rename(id), { signal: controller.signal }));
    await vi.waitFor(async () => expect(await lock.waiting()).toBe(1), 5_000);
    controller.abort();
    expect(await failure).toMatchObject({ code: 'CANCELLED' });
    await vi.waitFor(async () => expect(await lock.waiting()).toBe(0), 5_000);
    await vi.waitFor(async () => expect(await ended('CANCELLED')).toBe(1));
  });

  test('has changed nothing, and is in nobody’s way', async () => {
    const id = await createActive('unchanged');
    {
      await using lock = await lockTenant(app.database, id);
      await failureOf(editor.unary(rpc.updateTenant, rename(id), { timeoutMs: 200 }));
      await vi.waitFor(async () => expect(await lock.waiting()).toBe(0), 5_000);
    }
    expect(await editor.unary(rpc.getTenant, { id })).toMatchObject({ tenant: { name: 'Held' } });
    expect(await editor.unary(rpc.updateTenant, rename(id))).toMatchObject({ tenant: { name: 'Renamed' } });
  });
});

test('a deadline that has room does not disturb the call', async () => {
  const id = await createActive('in-time');
  const { tenant } = await editor.unary(rpc.getTenant, { id }, { timeoutMs: 60_000 });
  expect(tenant?.id).toBe(id);
});
