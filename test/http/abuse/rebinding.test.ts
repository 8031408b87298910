import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { startTestApp, type TestApp } from '../../support/app.ts';

/** What a browser is answered whose page has this name; `fetch` sets its own. */
async function asked({ httpUrl }: TestApp, host: string, path = '/graphql') {
  const sent = request(`${httpUrl}${path}`, {
    method: path === '/graphql' ? 'POST' : 'GET',
    headers: { host, 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
  });
  sent.end(path === '/graphql' ? JSON.stringify({ query: '{ __typename }' }) : undefined);
  const [response]: IncomingMessage[] = await once(sent, 'response');
  if (response === undefined) throw new Error('there was no response');
  return { status: response.statusCode, body: JSON.parse(await text(response)) };
}

const answered = { status: 200, body: { data: { __typename: 'Query' } } };
const refused = {
  status: 421,
  body: {
    error:
      'With --no-auth only localhost, 127.0.0.0/8 and [::1] are answered: call one of these, or accept every name with --insecure.',
  },
};
const everybody = { authentication: { kind: 'none' } } as const;

test('with --no-auth a page whose name was pointed here gets nothing', async () => {
  await using app = await startTestApp({ worker: false, config: everybody });
  const names = [
    'localhost',
    'localhost:4000',
    'LocalHost',
    '127.0.0.1:4000',
    '127.1.2.3',
    '[::1]',
    '[::1]:80',
  ];
  for (const host of names) expect([host, await asked(app, host)]).toEqual([host, answered]);
  const others = [
    'evil.example',
    'evil.example:4000',
    'localhost.evil.example',
    '10.0.0.1',
    '0.0.0.0',
    '[::2]',
  ];
  for (const host of others) expect([host, await asked(app, host)]).toEqual([host, refused]);
  expect(await asked(app, 'evil.example', '/health')).toEqual(refused);
});

test('with --insecure, or with tokens, any name will do', async () => {
  await using insecure = await startTestApp({ worker: false, config: { ...everybody, insecure: true } });
  expect(await asked(insecure, 'tenants.example')).toEqual(answered);
  await using guarded = await startTestApp({ worker: false });
  expect(await asked(guarded, 'tenants.example')).toMatchObject({
    body: { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] },
  });
});
