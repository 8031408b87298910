import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flags } from '../src/config/flags.ts';
import { actor } from './support/actor.ts';
import { startTestApp, type TestApp } from './support/app.ts';

const root = join(import.meta.dirname, '..');
let readme: string;
let app: TestApp;
beforeAll(async () => {
  readme = await readFile(join(root, 'README.md'), 'utf8');
  app = await startTestApp();
});
afterAll(() => app[Symbol.asyncDispose]());

type Subscribe = (
  url: string,
  token: string,
  query: string,
  variables: object,
) => AsyncIterable<{ tenantProvisioning: { sequence: number } }>;

test("the README's stream client shows a tenant coming up, and goes on behind `after`", async () => {
  const [, code] = /```js\n(\/\*\* Yields[\s\S]*?)```/.exec(readme) ?? [];
  const { subscribe }: { subscribe: Subscribe } = await import(
    `data:text/javascript,${encodeURIComponent(code ?? '')}`
  );
  const { tenant } = await app.core.tenants.create(actor('admin', 'reader'), {
    name: 'Read',
    subdomain: 'read',
    contactEmail: 'read@me.example',
  });
  const sequences = async (after: number) => {
    const seen: number[] = [];
    const query =
      'subscription ($id: ID!, $after: Int!) { tenantProvisioning(tenantId: $id, after: $after) { sequence } }';
    const stream = subscribe(`${app.httpUrl}/graphql`, app.tokens.viewer, query, { id: tenant.id, after });
    for await (const { tenantProvisioning } of stream) seen.push(tenantProvisioning.sequence);
    return seen;
  };

  expect(await sequences(0)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  expect(await sequences(10)).toEqual([11, 12, 13]);
});

test("the README's stream client says why a subscription is refused", async () => {
  const [, code] = /```js\n(\/\*\* Yields[\s\S]*?)```/.exec(readme) ?? [];
  const { subscribe }: { subscribe: Subscribe } = await import(
    `data:text/javascript,${encodeURIComponent(code ?? '')}`
  );
  const query =
    'subscription { tenantProvisioning(tenantId: "5b8f3ac0-6b8f-4d5c-9d6c-0a0a0a0a0a0a") { sequence } }';
  const first = subscribe(`${app.httpUrl}/graphql`, app.tokens.viewer, query, {})
    [Symbol.asyncIterator]()
    .next();
  await expect(first).rejects.toThrow('There is no such tenant');
});

test('the README lists every flag, and no other', () => {
  const table = readme.slice(readme.indexOf('## Settings'), readme.indexOf('## Your own PostgreSQL'));
  const rows = table.split('\n').filter((line) => line.startsWith('| `--'));
  const listed = rows.flatMap((row) =>
    [...(row.split('|')[1] ?? '').matchAll(/--([a-z-]+)/g)].map(([, name]) => name),
  );
  const { help, version, ...settings } = flags;
  expect(listed.sort()).toEqual(
    Object.values(settings)
      .map(({ name }) => name)
      .sort(),
  );
});

test('the files that the README and the guides link to exist', async () => {
  const pages = [
    'README.md',
    'CONTRIBUTING.md',
    'docs/architecture.md',
    'docs/tenant-migrations.md',
    'docs/leases.md',
    'docs/doctor.md',
    'docs/encryption.md',
    'docs/pgbouncer.md',
    'docs/tls.md',
    'docs/pools.md',
    'docs/processes.md',
  ];
  for (const page of pages) {
    const text = await readFile(join(root, page), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      await expect(
        import('node:fs/promises').then(({ stat }) => stat(join(root, page, '..', target))),
      ).resolves.toBeDefined();
    }
  }
});
