import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ServiceError } from '@grpc/grpc-js';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { type Caller, connect } from '../grpc/grpc-client.ts';
import { type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';

// An address goes through everything that can be asked of the service, also in what fails. Then it is looked for, and its
// parts, in everything that the service has written, sent or answered.

/** Letters that are nowhere by chance. */
const word = () => Array.from(randomBytes(12), (byte) => 'bcdfghjklmnpqrstvwxz'[byte % 20]).join('');
const [local, domain] = [word(), word()];
const address = `${local}@${domain}.example`;

/** In how it might be written: as it is, in hexadecimal, in base64 wherever it begins. */
const spellings = [local, domain].flatMap((part) => [
  part,
  Buffer.from(part).toString('hex'),
  ...[0, 1, 2].map((offset) => {
    const text = Buffer.from(`${'.'.repeat(offset)}${part}`).toString('base64url');
    // Without the characters that also depend on what is beside it.
    return text.slice(offset === 0 ? 0 : offset + 1, -3);
  }),
]);

/** The lines that hold a part of it. */
function leaksIn(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => spellings.some((spelling) => line.toLowerCase().includes(spelling.toLowerCase())));
}

const createMutation = `mutation ($input: CreateTenantInput!) {
  createTenant(input: $input) {
    ... on CreateTenantPayload { tenant { id operation { id } } }
    ... on Error { code message } ... on ValidationError { fieldErrors { path message } }
  }
}`;
const updateMutation = `mutation ($input: UpdateTenantInput!) {
  updateTenant(input: $input) { ... on UpdateTenantPayload { tenant { id } } ... on Error { code message } ... on ValidationError { fieldErrors { path message } } }
}`;

describe.skipIf(redisMissing !== null)(redisMissing ?? 'a contact’s address', () => {
  let parts: AsyncDisposableStack;
  let redis: TestRedis;
  let app: TestApp;
  let client: GraphqlClient;
  let editor: Caller;
  let admin: Caller;
  /** What callers were told. */
  const answers: string[] = [];
  /** What Redis was sent, by anybody. */
  const commands: string[] = [];
  let monitored: Redis;

  beforeAll(async () => {
    parts = new AsyncDisposableStack();
    redis = parts.use(await startRedis());
    monitored = redis.client();
    const monitor = await monitored.monitor();
    monitor.on('monitor', (_time: string, command: string[]) => void commands.push(command.join(' ')));
    parts.defer(() => monitor.disconnect());
    app = parts.use(await startTestApp({ redisUrl: redis.url, timings: { firstRetryMs: 20 } }));
    client = graphqlClient(app);
    editor = parts.use(connect(app.grpcAddress, app.tokens.editor));
    admin = parts.use(connect(app.grpcAddress, app.tokens.admin));
    await everything();
  }, 90_000);
  afterAll(() => parts?.disposeAsync());

  /** The whole answer, also when it is no JSON; admins alone read addresses, and that is what they ask for here. */
  async function graphql(role: 'viewer' | 'editor' | 'admin', query: string, variables: unknown = {}) {
    const response = await client.post(role, query, variables);
    const text = `${JSON.stringify([...response.headers])} ${await response.text()}`;
    answers.push(text);
    return text;
  }
  const create = (input: object) =>
    graphql('editor', createMutation, {
      input: { name: 'Somebody', subdomain: word(), contactEmail: address, ...input },
    });
  const idsIn = (text: string) => text.match(/[0-9a-f]{8}-[0-9a-f-]{27}/g) ?? [];

  async function created(input: object = {}): Promise<string> {
    const [id = ''] = idsIn(await create(input));
    expect(id).not.toBe('');
    return id;
  }

  /** Until the newest operation of a tenant is at an end; the answer is its id. */
  async function settled(id: string): Promise<string> {
    return eventually(async () => {
      const tenant = await app.core.tenants.get(id, 'INCLUDE');
      const operation = await app.core.operations.find(tenant.operationId ?? '');
      return ['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(operation?.state ?? '') && operation?.id;
    }, 60_000);
  }

  /** With all that a failure carries. */
  async function call(work: Promise<unknown>): Promise<void> {
    const answer = await work.catch((error: ServiceError) =>
      [String(error), ...error.metadata.get('grpc-status-details-bin')].map(String),
    );
    answers.push(JSON.stringify(answer));
  }

  async function everything(): Promise<void> {
    const administer = (sql: string) => asAdministrator(app.administrator, sql);
    const id = await created({ idempotencyKey: 'key' });
    const subdomain = `taken-${id.slice(0, 8)}`;
    using stream = await client.stream('viewer', 'subscription { provisioningFeed { message step } }');

    // What is refused.
    await create({ idempotencyKey: 'key', contactEmail: `other-${address}` });
    await create({ subdomain });
    await create({ subdomain });
    for (const contactEmail of [
      `${address}@`,
      `${local} ${address}`,
      `${address}\u0000`,
      `${address}\ud800`,
      7,
    ]) {
      await create({ contactEmail });
    }
    await create({ name: '', subdomain: address });
    await create({ unknown: true });
    await create({ contactEmail: { [address]: true } });
    await create({ contactEmail: [address] });
    for (const document of [
      `mutation { createTenant(input: { name: "n", subdomain: "s", contactEmail: ${address} }) { __typename } }`,
      `mutation { createTenant(input: { name: 1, subdomain: "s", contactEmail: "${address}" }) { nothing } }`,
      `mutation { createTenant(input: { name: 1, contactEmail: "${local}\\u0040${domain}.example", a: 1 }) { __typename } }`,
      `mutation { createTenant(input: { name: 1, contactEmail: """${address}""", a: 1 }) { __typename } }`,
      `{ tenants(filter: { contactEmail: "${address}", status: "${address}" }) { nodes { id } } }`,
      `{ tenants(filter: { contactEmail: "${address} }) { nodes { id } } }`,
      `{ tenant(id: "${address}") { id } }`,
      `{ tenants(first: "${address}") { nodes { id } } }`,
      `{ tenants(after: "${address}") { nodes { id } } }`,
      `{ node(id: "${address}") { id } }`,
      `{ tenantBySubdomain(subdomain: "${address}") { id } }`,
    ]) {
      await graphql('admin', document);
    }
    for (const role of ['viewer', 'editor', 'admin'] as const) {
      await graphql(
        role,
        'query ($filter: TenantFilter) { tenants(filter: $filter) { edges { node { id } } } }',
        {
          filter: { contactEmail: address },
        },
      );
      await graphql(
        role,
        'query ($filter: TenantFilter) { tenants(filter: $filter) { edges { node { id } } } }',
        {
          filter: { contactEmail: ` ${address}\u0007` },
        },
      );
      await graphql(
        role,
        'query ($text: String) { tenants(filter: { search: $text }) { edges { node { id } } } }',
        {
          text: address,
        },
      );
    }
    await fetch(`${app.httpUrl}/graphql`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.tokens.admin}`, 'content-type': 'application/json' },
      body: `{"query": "{ tenants ${address}`,
    }).then(async (response) => answers.push(await response.text()));

    // What is changed, also while the database refuses it.
    await graphql('editor', updateMutation, { input: { id, contactEmail: `new-${address}` } });
    await graphql('editor', updateMutation, { input: { id, contactEmail: address, expectedVersion: 1 } });
    await graphql('editor', updateMutation, { input: { id, contactEmail: `${address}@` } });
    await administer(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no: %', NEW; END $$;
      CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON tenants FOR EACH ROW EXECUTE FUNCTION refuse()`);
    await create({});
    await graphql('editor', updateMutation, { input: { id, contactEmail: `third-${address}` } });
    const request = { name: 'Somebody', subdomain: word(), contactEmail: address, tier: '' };
    await call(editor.unary(rpc.createTenant, request));
    await administer('DROP TRIGGER refuse ON tenants');
    await administer('ALTER TABLE tenants ADD CONSTRAINT none CHECK (false) NOT VALID');
    await create({});
    await graphql('editor', updateMutation, { input: { id, contactEmail: `third-${address}` } });
    await administer('ALTER TABLE tenants DROP CONSTRAINT none');

    // The same over gRPC.
    await call(editor.unary(rpc.createTenant, request));
    await call(editor.unary(rpc.createTenant, request));
    await call(editor.unary(rpc.createTenant, { ...request, contactEmail: `${address}@` }));
    await call(editor.unary(rpc.createTenant, { ...request, subdomain: address }));
    await call(editor.unary(rpc.createTenant, request, { metadata: [['x-tenant-subdomain', address]] }));
    await call(editor.unary(rpc.getTenant, { id: address }));

    // Every kind of operation, and one that fails, is tried again and is cancelled.
    await settled(id);
    for (const field of ['suspendTenant', 'resumeTenant', 'deleteTenant', 'restoreTenant']) {
      await graphql('admin', `mutation { ${field}(id: "${id}") { ... on Error { code message } } }`);
      await settled(id);
    }
    await call(admin.unary(rpc.getTenant, { id }));

    // Looked up by itself, as it is cached; once more when it is, and while an admin reads the address.
    for (const query of [
      `{ tenant(id: "${id}") { name } }`,
      `{ tenantBySubdomain(subdomain: "nobody") { name } }`,
      `{ tenant(id: "${id}") { name } }`,
    ]) {
      await graphql('viewer', query);
    }
    const read = await client.run('admin', `{ tenant(id: "${id}") { name contactEmail } }`);
    expect(leaksIn(JSON.stringify(read.body))).toHaveLength(1);
    const failing = await created();
    const first = await settled(failing);
    await administer(
      `CREATE TRIGGER refuse BEFORE UPDATE ON tenants FOR EACH ROW WHEN (NEW.status = 'INACTIVE') EXECUTE FUNCTION refuse()`,
    );
    await graphql('admin', `mutation { suspendTenant(id: "${failing}") { __typename } }`);
    const suspension = await settled(failing);
    expect(suspension).not.toBe(first);
    await graphql(
      'admin',
      `mutation { retryOperation(id: "${suspension}") { ... on Error { code message } } }`,
    );
    await settled(failing);
    await graphql(
      'admin',
      `mutation { cancelOperation(id: "${suspension}") { ... on Error { code message } } }`,
    );
    await settled(failing);
    await administer('DROP TRIGGER refuse ON tenants');
    await graphql(
      'viewer',
      `{ tenants(first: 100) { edges { node { id name contactEmail operations { edges { node { error steps { error } } } } } } } }`,
    );

    // The database does not answer at all.
    await administer(`ALTER TABLE tenants RENAME TO gone`);
    await create({});
    await graphql('admin', `{ tenants(filter: { contactEmail: "${address}" }) { edges { node { id } } } }`);
    await administer(`ALTER TABLE gone RENAME TO tenants`);
    expect((await stream.next()).done).toBe(false);
  }

  test('is read by admins alone', async () => {
    const query = '{ tenants(first: 1) { edges { node { contactEmail } } } }';
    expect(leaksIn(JSON.stringify((await client.run('admin', query)).body))).toHaveLength(1);
  });

  test('is in no answer', () => {
    expect(answers.length).toBeGreaterThan(50);
    expect(answers.filter((answer) => answer.includes('INTERNAL')).length).toBeGreaterThan(2);
    expect(leaksIn(answers.join('\n'))).toEqual([]);
  });

  test('is not in the logs, at the level trace', () => {
    expect(app.logged.length).toBeGreaterThan(20);
    expect(leaksIn(app.logged.join('\n'))).toEqual([]);
  });

  test('is in no row of any table, nor in what the server remembers of statements', async () => {
    const { rows: tables } = await asAdministrator(
      app.administrator,
      `SELECT format('%I.%I', nspname, relname) AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
       WHERE relkind IN ('r', 'p', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
       UNION ALL SELECT * FROM unnest(ARRAY['pg_stat_activity', 'pg_prepared_xacts', 'pg_description', 'pg_shdescription'])`,
    );
    expect(tables.length).toBeGreaterThan(15);
    for (const { name } of tables) {
      const { rows } = await asAdministrator(
        app.administrator,
        `SELECT row_to_json(t)::text AS row FROM ${name} AS t`,
      );
      expect({ name, leaks: leaksIn(rows.map(({ row }) => row).join('\n')) }).toEqual({ name, leaks: [] });
    }
  });

  test('is not in the log of the database server', async () => {
    const { rows } = await asAdministrator(app.administrator, 'SHOW data_directory');
    const log = await readFile(join(dirname(rows[0].data_directory), 'postgres.log'), 'utf8');
    expect(log).toContain('none');
    expect(leaksIn(log)).toEqual([]);
  });

  test('is in no key and no message of Redis', async () => {
    const values = await Promise.all(
      (await monitored.keys('*')).map(async (key) => `${key} ${await monitored.dump(key)}`),
    );
    expect(commands.some((command) => /^publish /i.test(command))).toBe(true);
    // Tenants are kept there, and asked for.
    expect(commands.some((command) => /^eval .*:tenant:.*Somebody/is.test(command))).toBe(true);
    expect(commands.some((command) => /^get .*:tenant:/i.test(command))).toBe(true);
    expect(leaksIn([...values, ...commands].join('\n'))).toEqual([]);
  });

  test('is not in the metrics', async () => {
    const text = await (await fetch(`${app.httpUrl}/metrics`)).text();
    expect(text).toContain('tenants_provisioned_total');
    expect(leaksIn(text)).toEqual([]);
  });
});
