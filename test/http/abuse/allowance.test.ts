import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import pg from 'pg';
import { expect, test, vi } from 'vitest';
import { TenantServiceService } from '../../../src/generated/proto/tenant/v1/tenant.ts';
import { create } from '../../events/provisioning.ts';
import { connect, failureOf } from '../../grpc/grpc-client.ts';
import { actor } from '../../support/actor.ts';
import { startTestApp, type TestApp } from '../../support/app.ts';
import { createTestDatabase } from '../../support/database.ts';
import { redisMissing, startRedis } from '../../support/redis.ts';
import { dataOf, graphqlClient, type Stream } from '../graphql-client.ts';

if (redisMissing !== null) console.warn(redisMissing);

const page = '{ tenants(first: 100) { nodes { id } } }';

test('a principal has so many objects a second, over both listeners together', async () => {
  await using app = await startTestApp({ worker: false, config: { rateLimit: 150 } });
  const client = graphqlClient(app);
  using editor = connect(app.grpcAddress, app.tokens.editor);
  const list = { pageSize: 100, pageToken: '', status: [], tier: '', search: '', deleted: '' };

  // What is counted is the second that begins with the first request; it may end meanwhile.
  await vi.waitFor(async () => {
    await client.run('editor', page);
    const headers = { accept: 'application/graphql-response+json' };
    const response = await client.post('editor', page, {}, { headers });
    expect([response.status, response.headers.get('retry-after'), await response.json()]).toEqual([
      429,
      '1',
      {
        errors: [
          {
            message: expect.stringMatching(
              /^You may ask for 150 objects a second; try again in \d{1,4} ms\.$/,
            ),
            extensions: { code: 'LIMIT_EXCEEDED' },
          },
        ],
      },
    ]);
    expect(await failureOf(editor.unary(TenantServiceService.listTenants, list))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'LIMIT_EXCEEDED',
    });
  }, 10_000);
  await client.data('viewer', page);
});

test('a page counts its tenants over gRPC too, and says when to come back', async () => {
  await using app = await startTestApp({ worker: false, config: { rateLimit: 150 } });
  using viewer = connect(app.grpcAddress, app.tokens.viewer);
  const list = { pageSize: 100, pageToken: '', status: [], tier: '', search: '', deleted: '' };
  await vi.waitFor(async () => {
    await viewer.unary(TenantServiceService.listTenants, list).catch(() => {});
    const error = await viewer.unary(TenantServiceService.listTenants, list).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    const [pushback] = Reflect.get(Object(error), 'metadata').get('grpc-retry-pushback-ms');
    expect(Number(pushback)).toBeGreaterThan(0);
  }, 10_000);
});

test.skipIf(redisMissing !== null)('replicas with a Redis count together', async () => {
  await using redis = await startRedis();
  await using database = await createTestDatabase();
  const options = { worker: false, database, redisUrl: redis.url, config: { rateLimit: 150 } };
  await using one = await startTestApp(options);
  await using another = await startTestApp(options);
  await vi.waitFor(async () => {
    await graphqlClient(one).run('viewer', page);
    const { body } = await graphqlClient(another).run('viewer', page);
    expect(body.errors?.map(({ extensions }) => extensions.code)).toEqual(['LIMIT_EXCEEDED']);
  }, 10_000);
  // Each for itself, then, and nobody is refused because of that.
  await redis.goDown();
  await vi.waitFor(async () => {
    for (const app of [one, another]) await graphqlClient(app).data('admin', page);
  }, 10_000);
});

test('a principal has a hundred streams, over both listeners together', async () => {
  await using app = await startTestApp({ worker: false });
  const client = graphqlClient(app);
  const { tenant } = await app.core.tenants.create(actor('admin', 'test'), {
    name: 'Watched',
    subdomain: 'watched',
    contactEmail: 'jo@watched.example',
  });
  using viewer = connect(app.grpcAddress, app.tokens.viewer);
  using another = connect(app.grpcAddress, app.tokens.editor);
  const feed = 'subscription { provisioningFeed { sequence } }';
  const watch = (caller: typeof viewer) =>
    caller.stream(TenantServiceService.watchProvisioning, { tenantId: tenant.id, afterSequence: 0 });

  await using open = new AsyncDisposableStack();
  const streams: Stream[] = [];
  for (let n = 0; n < 99; n += 1) streams.push(open.use(await client.stream('viewer', feed)));
  const last = watch(viewer);
  last.on('error', () => {});
  await new Promise((resolve) => last.once('data', resolve));

  const refused = await (await client.stream('viewer', feed)).next();
  expect(refused.value).toEqual({
    event: 'next',
    data: {
      errors: [
        {
          message:
            'You have 100 streams open, as many as are allowed; close one, or watch many tenants on one stream.',
          extensions: { code: 'LIMIT_EXCEEDED' },
        },
      ],
    },
  });
  const failure = new Promise((resolve) => watch(viewer).once('error', resolve));
  expect(await failure).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  const others = watch(another);
  others.on('error', () => {});
  await new Promise((resolve) => others.once('data', resolve));
  others.cancel();

  // Who closes one may open one: here one of each kind.
  streams[0]?.[Symbol.dispose]();
  last.cancel();
  for (const _closed of ['GraphQL', 'gRPC']) {
    await vi.waitFor(async () => {
      const next = watch(viewer);
      next.on('error', () => {});
      await new Promise((resolve, reject) => next.once('data', resolve).once('error', reject));
      open.defer(() => next.cancel());
    }, 10_000);
  }
}, 30_000);

/** Holds whoever reads the history, as a database does that is gone. */
async function holdHistory({ administrator }: TestApp): Promise<AsyncDisposable> {
  const client = new pg.Client(administrator);
  await client.connect();
  await client.query('BEGIN; LOCK TABLE provisioning_events');
  return { [Symbol.asyncDispose]: () => client.end() };
}

test('streams that have not begun count as well, and those that do not begin no more', async () => {
  await using app = await startTestApp({ worker: false });
  const client = graphqlClient(app);
  const feed = 'subscription { provisioningFeed { sequence } }';
  const unknown = `subscription { tenantProvisioning(tenantId: "${randomUUID()}") { sequence } }`;
  for (let n = 0; n < 101; n += 1) {
    using stream = await client.stream('viewer', unknown);
    expect(await dataOf(stream, 'none')).toMatchObject([{ errors: [{ extensions: { code: 'NOT_FOUND' } }] }]);
  }

  await using open = new AsyncDisposableStack();
  const history = open.use(await holdHistory(app));
  const opening = Array.from({ length: 101 }, async () => open.use(await client.stream('viewer', feed)));
  const answered = await Promise.race(opening);
  expect(await dataOf(answered, 'provisioningFeed')).toMatchObject([
    { errors: [{ extensions: { code: 'LIMIT_EXCEEDED' } }] },
  ]);
  await history[Symbol.asyncDispose]();
  await Promise.all(opening);
}, 30_000);

test('a stream that cannot begin in time is refused, and nothing is left of it', async () => {
  await using app = await startTestApp({ worker: false, timings: { requestLimitMs: 300 } });
  const client = graphqlClient(app);
  const feed = 'subscription { provisioningFeed { sequence } }';
  {
    await using _history = await holdHistory(app);
    const refused = await Promise.all(Array.from({ length: 100 }, () => client.stream('viewer', feed)));
    for (const stream of refused) {
      expect(await dataOf(stream, 'provisioningFeed')).toMatchObject([
        {
          errors: [
            {
              message: 'The request took longer than 0.3 seconds and was ended; ask for less at once.',
              extensions: { code: 'LIMIT_EXCEEDED' },
            },
          ],
        },
      ]);
    }
  }
  await vi.waitFor(async () => {
    using stream = await client.stream('viewer', feed);
    const first = stream.next();
    await create(app, `t-${randomUUID()}`);
    expect((await first).value).toMatchObject({ event: 'next', data: { data: expect.anything() } });
  }, 10_000);
}, 30_000);
