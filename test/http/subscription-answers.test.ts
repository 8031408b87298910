import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import { create, openFeed } from '../events/provisioning.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';
import { dataOf } from './graphql-client.ts';
import { type RawAnswer, rawAnswer } from './raw-request.ts';

const origin = 'https://dashboard.example.com';
let app: TestApp;
let tenantId: string;
let events: ProvisioningEvent[];

beforeAll(async () => {
  app = await startTestApp({ args: [`--cors-origin=${origin}`] });
  tenantId = await create(app, 'answered');
  events = [];
  for await (const event of app.core.watch.one(tenantId, 0)) events.push(event);
});
afterAll(() => app[Symbol.asyncDispose]());

const selection = 'tenantProvisioning(tenantId: $id, after: $after) { sequence kind message createdAt }';
const query = `subscription ($id: ID!, $after: Int) { ${selection} }`;

/** To a POST, with what `accept` and other headers say. */
function answer(variables: object, ...headers: string[]): Promise<RawAnswer> {
  const head = ['POST /graphql HTTP/1.1', `authorization: Bearer ${app.tokens.viewer}`];
  return rawAnswer(
    app.httpUrl,
    [...head, 'content-type: application/json', ...headers],
    JSON.stringify({ query, variables }),
  );
}

const next = (result: object) => `event: next\ndata: ${JSON.stringify(result)}\n\n`;
const complete = 'event: complete\ndata:\n\n';
const streamed = () =>
  events
    .map(({ sequence, kind, message, createdAt }) =>
      next({ data: { tenantProvisioning: { sequence, kind, message, createdAt } } }),
    )
    .join('');

const ok = {
  status: 'HTTP/1.1 200 OK',
  headers: {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'content-encoding': 'none',
    connection: 'keep-alive',
    'transfer-encoding': 'chunked',
  },
};
const eventStream = 'accept: text/event-stream';

describe('the answer to a subscription', () => {
  test('is a stream that begins with a comment, brings each result, and ends with `complete`', async () => {
    const body = `:\n\n${streamed()}${complete}`;
    expect(await answer({ id: tenantId }, eventStream)).toEqual({ ...ok, body });
    // Of clients that take anything, and of those that say nothing.
    expect(await answer({ id: tenantId }, 'accept: */*')).toEqual({ ...ok, body });
    expect(await answer({ id: tenantId })).toEqual({ ...ok, body });
  });

  test('is the same for a GET', async () => {
    const variables = encodeURIComponent(JSON.stringify({ id: tenantId, after: events.length }));
    const path = `/graphql?query=${encodeURIComponent(query)}&variables=${variables}`;
    const head = [`GET ${path} HTTP/1.1`, `authorization: Bearer ${app.tokens.viewer}`, eventStream];
    expect(await rawAnswer(app.httpUrl, head, null)).toEqual({ ...ok, body: `:\n\n${complete}` });
  });

  test('lets pages of allowed origins read it', async () => {
    const { headers } = await answer({ id: tenantId }, eventStream, `origin: ${origin}`);
    expect(headers).toEqual({
      ...ok.headers,
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': 'authorization, content-type',
      'access-control-max-age': '600',
    });
    expect(await answer({ id: tenantId }, eventStream, 'origin: https://other.example.com')).toMatchObject(
      ok,
    );
  });

  test('is a stream as well when the subscription is refused', async () => {
    const refused = (error: object) => ({ ...ok, body: `:\n\n${next({ errors: [error] })}${complete}` });
    expect(await answer({ id: randomUUID() }, eventStream)).toEqual(
      refused({
        message: 'There is no such tenant; check the id, and whether it was deleted.',
        locations: [{ line: 1, column: 40 }],
        path: ['tenantProvisioning'],
        extensions: { code: 'NOT_FOUND' },
      }),
    );
    expect(await answer({ id: tenantId, after: -1 }, eventStream)).toEqual(
      refused({
        message: 'after must not be negative',
        locations: [{ line: 1, column: 40 }],
        path: ['tenantProvisioning'],
        extensions: {
          code: 'BAD_USER_INPUT',
          fieldErrors: [{ path: 'after', message: 'must not be negative' }],
        },
      }),
    );
    expect(await answer({ id: {} }, eventStream)).toEqual(
      refused({
        message: 'Variable "$id" got invalid value {}; ID cannot represent value: {}',
        locations: [{ line: 1, column: 15 }],
        extensions: { code: 'BAD_USER_INPUT' },
      }),
    );
  });

  test('says what went wrong in the middle of it, to each who listens, and then ends', async () => {
    await using failing = await startTestApp({ worker: false, timings: { rereadIntervalMs: 100 } });
    const opened = [openFeed(failing), openFeed(failing)];
    const streams = await Promise.all(opened);
    await asAdministrator(failing.administrator, 'ALTER TABLE provisioning_events RENAME TO gone');
    for (using stream of streams) {
      const [end] = await dataOf(stream, 'provisioningFeed');
      expect(end).toEqual({
        errors: [
          {
            message: expect.stringMatching(
              /^Something went wrong here; the log has more under the request id/,
            ),
            locations: [{ line: 1, column: 1 }],
            extensions: { code: 'INTERNAL', requestId: expect.any(String) },
          },
        ],
      });
    }
  });

  test('is 406, and says what there is, for clients that accept no stream', async () => {
    const { status, headers, body } = await answer({ id: tenantId }, 'accept: application/json');
    expect([status, headers.accept, body]).toEqual(['HTTP/1.1 406 Not Acceptable', 'text/event-stream', '']);
  });
});
