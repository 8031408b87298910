import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { operationSteps } from '../../src/core/operation-steps.ts';
import { issueToken } from '../../src/http/token.ts';
import { eventsOfProvisioning, range } from '../events/provisioning.ts';
import { dataOf, type GraphqlClient, graphqlClient, take } from '../http/graphql-client.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp();
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

const principal = actor('admin', 'test');
const fields =
  'tenantId operationId kind operationState sequence step status completedSteps totalSteps message tenantStatus createdAt';
const watch = `subscription ($id: ID!, $after: Int) { tenantProvisioning(tenantId: $id, after: $after) { ${fields} } }`;
const feed = `subscription ($ids: [ID!]) { provisioningFeed(tenantIds: $ids) { tenantId sequence kind } }`;

async function create(subdomain: string, on = app): Promise<string> {
  const contactEmail = 'owner@example.com';
  const { tenant } = await on.core.tenants.create(principal, { name: subdomain, subdomain, contactEmail });
  return tenant.id;
}

async function watched(id: string, after?: number, role: 'viewer' | 'admin' = 'viewer'): Promise<unknown[]> {
  using stream = await client.stream(role, watch, { id, after });
  return await dataOf(stream, 'tenantProvisioning');
}

async function active(httpUrl: string): Promise<number> {
  const text = await (await fetch(`${httpUrl}/metrics`)).text();
  return Number(/^graphql_subscriptions_active (\d+)$/m.exec(text)?.[1]);
}

const { PROVISION: steps } = operationSteps;
const sequences = range(1, eventsOfProvisioning);

describe('tenantProvisioning', () => {
  test('streams every event of a provisioning, whole and in order, and completes', async () => {
    const id = await create('watched');
    const events = await watched(id);
    expect(events.map((event) => Reflect.get(Object(event), 'sequence'))).toEqual(sequences);
    expect(events[0]).toEqual({
      tenantId: id,
      operationId: expect.stringMatching(/^operation_/),
      kind: 'PROVISION',
      operationState: 'PENDING',
      sequence: 1,
      step: 'create_role',
      status: 'PENDING',
      completedSteps: 0,
      totalSteps: steps.length,
      message: null,
      tenantStatus: 'PROVISIONING',
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
    expect(events.at(-1)).toMatchObject({
      operationState: 'SUCCEEDED',
      step: 'activate',
      status: 'SUCCESS',
      completedSteps: steps.length,
      tenantStatus: 'ACTIVE',
    });
    // Again, when all is over; and from any point on.
    expect(await watched(id)).toEqual(events);
    for (const after of [0, 1, 4, sequences.length, 2_000_000_000]) {
      expect(await watched(id, after)).toEqual(events.slice(after));
    }
  });

  test('one that begins before the work sees all of it', async () => {
    await using database = await createTestDatabase();
    await using api = await startTestApp({ database, worker: false, timings: { rereadIntervalMs: 50 } });
    const id = await create('before', api);
    using early = await graphqlClient(api).stream('viewer', watch, { id });
    const accepted = await take(early, 'tenantProvisioning', 1);
    expect(accepted).toMatchObject([{ sequence: 1, operationState: 'PENDING' }]);

    await using worker = await startTestApp({ database });
    const rest = await dataOf(early, 'tenantProvisioning');
    using late = await graphqlClient(worker).stream('viewer', watch, { id });
    expect([...accepted, ...rest]).toEqual(await dataOf(late, 'tenantProvisioning'));
  });

  test('one that begins during the work sees what the first one sees', async () => {
    const id = await create('during');
    using first = await client.stream('viewer', watch, { id });
    const begun = await take(first, 'tenantProvisioning', 2);
    const during = watched(id);
    const whole = [...begun, ...(await dataOf(first, 'tenantProvisioning'))];
    expect(await during).toEqual(whole);
  });

  test('resumes behind the last event that a lost connection brought', async () => {
    const id = await create('resumed');
    let seen: unknown[];
    {
      using stream = await client.stream('viewer', watch, { id });
      seen = await take(stream, 'tenantProvisioning', 3);
    }
    expect([...seen, ...(await watched(id, 3))]).toEqual(await watched(id));
  });

  test('is refused for what is not there, at once and with a reason', async () => {
    const refused = (code: string, more: object = {}) => [
      { errors: [expect.objectContaining({ extensions: { code, ...more } })] },
    ];
    expect(await watched(randomUUID())).toEqual(refused('NOT_FOUND'));
    expect(await watched('nobody')).toEqual(
      refused('BAD_USER_INPUT', { fieldErrors: [{ path: 'tenantId', message: 'must be a UUID' }] }),
    );
    expect(await watched(randomUUID(), -1)).toEqual(
      refused('BAD_USER_INPUT', { fieldErrors: [{ path: 'after', message: 'must not be negative' }] }),
    );
  });

  test('shows a deleted tenant to admins alone', async () => {
    const id = await create('deleted');
    await watched(id);
    await app.core.tenants.remove(principal, id);
    expect(await watched(id, 0, 'viewer')).toMatchObject([
      { errors: [{ extensions: { code: 'NOT_FOUND' } }] },
    ]);
    const events = await watched(id, sequences.length, 'admin');
    expect(events.at(-1)).toMatchObject({ kind: 'DELETE', operationState: 'SUCCEEDED' });
  });

  test('works by GET, as EventSource would ask', async () => {
    const id = await create('by-get');
    await watched(id);
    const query = `subscription { tenantProvisioning(tenantId: "${id}") { sequence } }`;
    const response = await fetch(`${app.httpUrl}/graphql?query=${encodeURIComponent(query)}`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${app.tokens.viewer}` },
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const text = await response.text();
    expect(text.match(/^event: \w+$/gm)).toEqual([...sequences.map(() => 'event: next'), 'event: complete']);
  });
});

describe('provisioningFeed', () => {
  test('brings the events of all tenants, or of some, from now on', async () => {
    const before = await create('feed-before');
    await watched(before);
    using all = await client.stream('viewer', feed);
    const unknown = randomUUID();
    await vi.waitFor(async () => expect(await active(app.httpUrl)).toBe(1));

    const [one, two] = await Promise.all([create('feed-one'), create('feed-two')]);
    const events = await take(all, 'provisioningFeed', 2 * sequences.length);
    for (const id of [one, two]) {
      expect(events.filter((event) => Reflect.get(Object(event), 'tenantId') === id)).toEqual(
        sequences.map((sequence) => ({ tenantId: id, sequence, kind: 'PROVISION' })),
      );
    }

    using chosen = await client.stream('viewer', feed, { ids: [two.toUpperCase(), unknown] });
    await vi.waitFor(async () => expect(await active(app.httpUrl)).toBe(2));
    await app.core.tenants.remove(principal, one);
    await app.core.tenants.remove(principal, two);
    // A deletion is news as well.
    expect(await take(chosen, 'provisioningFeed', 1)).toEqual([
      { tenantId: two, sequence: sequences.length + 1, kind: 'DELETE' },
    ]);
  });

  test('refuses ids that are none, and too many', async () => {
    const refusal = async (ids: string[]) => {
      using stream = await client.stream('viewer', feed, { ids });
      return await dataOf(stream, 'provisioningFeed');
    };
    expect(await refusal([randomUUID(), 'x'])).toMatchObject([
      { errors: [{ extensions: { code: 'BAD_USER_INPUT', fieldErrors: [{ path: 'tenantIds.1' }] } }] },
    ]);
    expect(await refusal(Array.from({ length: 1_001 }, () => randomUUID()))).toMatchObject([
      {
        errors: [
          {
            extensions: { fieldErrors: [{ path: 'tenantIds', message: 'must be at most 1000 ids' }] },
          },
        ],
      },
    ]);
  });
});

describe('a subscription that waits', () => {
  test('is let go when its client goes away', async () => {
    await using idle = await startTestApp({ worker: false });
    const own = graphqlClient(idle);
    const id = await create('waiting', idle);
    const streams = [
      await own.stream('viewer', watch, { id }),
      await own.stream('viewer', feed),
      await own.stream('viewer', feed, { ids: [id] }),
    ];
    await vi.waitFor(async () => expect(await active(idle.httpUrl)).toBe(3));
    for (const stream of streams) stream[Symbol.dispose]();
    await vi.waitFor(async () => expect(await active(idle.httpUrl)).toBe(0));
  });

  test('ends with UNAUTHENTICATED when its token expires, whichever it is, and leaves the others', async () => {
    await using idle = await startTestApp({ worker: false });
    const id = await create('expiring', idle);
    const tokenFor = (expiresIn: number) =>
      issueToken(idle.secret, { subject: 'short', role: 'viewer', expiresIn });
    const tokens = { ...idle.tokens, viewer: await tokenFor(3), editor: await tokenFor(5_000_000_000) };
    const own = graphqlClient({ ...idle, tokens });
    using lasting = await own.stream('editor', feed);
    using one = await own.stream('viewer', watch, { id });
    using many = await own.stream('viewer', feed);
    expect(await take(one, 'tenantProvisioning', 1)).toMatchObject([{ sequence: 1 }]);

    const message =
      'The token has expired; get a new one and subscribe again, with the last sequence as `after` where there is one.';
    const end = [{ errors: [{ message, extensions: { code: 'UNAUTHENTICATED' } }] }];
    expect(await dataOf(one, 'tenantProvisioning')).toEqual(end);
    expect(await dataOf(many, 'provisioningFeed')).toEqual(end);
    expect(await active(idle.httpUrl)).toBe(1);

    await idle.core.tenants.remove(actor('admin', 'test'), id);
    expect(await take(lasting, 'provisioningFeed', 1)).toMatchObject([{ sequence: 2 }]);
  });

  test('is let go when its client accepts no stream', async () => {
    const response = await client.post('viewer', feed, {});
    expect(response.status).toBe(406);
    await response.body?.cancel();
    await vi.waitFor(async () => expect(await active(app.httpUrl)).toBe(0));
  });

  test('is completed, not cut, when the server drains', async () => {
    const idle = await startTestApp({ worker: false });
    const own = graphqlClient(idle);
    const id = await create('drained', idle);
    using one = await own.stream('viewer', watch, { id });
    using many = await own.stream('viewer', feed);
    await take(one, 'tenantProvisioning', 1);
    await vi.waitFor(async () => expect(await active(idle.httpUrl)).toBe(2));
    const drained = idle[Symbol.asyncDispose]();
    expect(await dataOf(one, 'tenantProvisioning')).toEqual([]);
    expect(await dataOf(many, 'provisioningFeed')).toEqual([]);
    await drained;
  });
});
