import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KeyPair } from '../../scripts/development-certificates.ts';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { editor, newTenant } from '../core/core-app.ts';
import { connect, failureOf, next } from '../grpc/grpc-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestAuthority, opensslMissing, type TestAuthority } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { agentOf, byName, get, portOf, shownSerial, trusting } from './peers.ts';

describe.skipIf(opensslMissing !== null)('a certificate that changes', () => {
  const parts = new AsyncDisposableStack();
  let authority: TestAuthority;
  let live: KeyPair;
  let client: KeyPair;
  let app: TestApp;

  beforeAll(async () => {
    authority = parts.use(await createTestAuthority());
    live = await authority.issue('live');
    client = await authority.issue('client', { usage: 'clientAuth' });
    const args = [`--tls-cert=${live.cert}`, `--tls-key=${live.key}`];
    app = parts.use(
      await startTestApp({ worker: false, args: [...args, `--tls-client-ca=${authority.cert}`] }),
    );
  });
  afterAll(() => parts.disposeAsync());

  const serials = () => Promise.all([app.httpUrl, app.grpcAddress].map((at) => shownSerial(portOf(at))));
  const warnings = () =>
    app.logged
      .map((line): Record<string, unknown> => JSON.parse(line))
      .filter(({ msg }) => String(msg).startsWith('the certificate of before stays'))
      .map(({ reason }) => reason);

  test('is shown on both ports without a call that fails or a stream that breaks', async () => {
    const before = await serials();
    const { tenant } = await app.core.tenants.create(editor, newTenant());
    using watcher = connect(byName(app), app.tokens.viewer, trusting(authority.cert, client));
    const stream = watcher.stream(rpc.watchProvisioning, { tenantId: tenant.id, afterSequence: 0 });
    const events = stream[Symbol.asyncIterator]();
    expect(await next(events)).toMatchObject({ sequence: 1 });

    let over = false;
    let done = 0;
    const kept = agentOf(authority.cert, true);
    const load = async (call: () => Promise<unknown>, expected: unknown) => {
      while (!over) {
        expect(await call()).toMatchObject(Object(expected));
        done += 1;
      }
    };
    const request = { id: tenant.id };
    const found = { tenant: { id: tenant.id } };
    const newCaller = async () => {
      using caller = connect(byName(app), app.tokens.viewer, trusting(authority.cert, client));
      return await caller.unary(rpc.getTenant, request);
    };
    const working = Promise.all([
      load(() => watcher.unary(rpc.getTenant, request), found),
      load(newCaller, found),
      load(() => get(`${app.httpUrl}/live`, kept), { status: 200 }),
      load(() => get(`${app.httpUrl}/live`, agentOf(authority.cert)), { status: 200 }),
    ]);
    try {
      for (let round = 0; round < 2; round++) {
        const last = await serials();
        const doneBefore = done;
        await authority.issue('live');
        await eventually(async () => (await serials()).every((serial) => !last.includes(serial)), 10_000);
        expect(done).toBeGreaterThan(doneBefore);
      }
    } finally {
      over = true;
      await working;
      kept.destroy();
    }
    expect(await serials()).not.toEqual(before);
    // The stream, opened under the first certificate, still brings what happens.
    await app.core.tenants.remove(editor, tenant.id);
    await expect(next(events)).resolves.toMatchObject({ sequence: 2 });
  });

  test('stays what it was while the files do not belong together, are not whole or are not there', async () => {
    const [before] = await serials();
    const count = () => warnings().length;
    const broken = async (change: () => Promise<unknown>): Promise<unknown> => {
      const known = count();
      await change();
      await eventually(() => count() > known, 10_000);
      expect(await serials()).toEqual([before, before]);
      return warnings().at(-1);
    };
    // In one go: the service may look at any moment.
    const put = async (path: string, content: string) => {
      await writeFile(`${path}.new`, content);
      await rename(`${path}.new`, path);
    };
    const other = await authority.issue('other');
    const whole = await readFile(other.cert, 'utf8');
    const key = await readFile(other.key, 'utf8');
    expect(await broken(() => put(live.key, key))).toMatch(/^--tls-key takes the private key of/);
    expect(await broken(() => put(live.cert, whole.slice(0, 200)))).toMatch(/^--tls-cert takes a PEM file/);
    const unfinished = `${whole}${whole.slice(0, 200)}`;
    expect(await broken(() => rm(live.cert))).toMatch(/^--tls-cert takes a readable PEM file, .*: ENOENT$/);
    expect(await broken(() => put(live.cert, unfinished))).toMatch(/^--tls-cert takes a PEM file of/);
    await put(live.cert, whole);
    await eventually(async () => (await serials()).every((serial) => serial !== before), 10_000);
    const known = count();
    expect(await failureOf(lookUp())).toMatchObject({ code: 'NOT_FOUND' });
    expect(count()).toBe(known);
  });

  async function lookUp(): Promise<unknown> {
    using caller = connect(byName(app), app.tokens.viewer, trusting(authority.cert, client));
    return await caller.unary(rpc.getTenant, { id: crypto.randomUUID() });
  }
});
