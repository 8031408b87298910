import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSchema } from '../../src/resolvers/schema.ts';
import { connect } from '../grpc/grpc-client.ts';
import { opensslMissing } from '../support/certificates.ts';
import { type AccessBed, rowOf, startAccessBed } from './access/callers.ts';
import { startCertificateBed } from './access/certificates.ts';
import { fieldRows } from './access/graphql-fields.ts';
import { forgottenRoots, rootRows } from './access/graphql-roots.ts';
import { forgottenMethods, rpcRows } from './access/rpcs.ts';

let bed: AccessBed;

beforeAll(async () => {
  bed = await startAccessBed();
});
afterAll(() => bed[Symbol.asyncDispose]());

/** The rows of the table in access.md under this heading. */
function table(heading: string): string[] {
  const text = readFileSync(new URL('access.md', import.meta.url), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return section.split('\n').filter((line) => line.startsWith('| `'));
}

const schema = createSchema();

test('every root field and every method is asked for below', () => {
  expect(forgottenRoots(schema)).toEqual([]);
  expect(forgottenMethods()).toEqual([]);
});

test('root fields are as in the table', async () => {
  expect(await rootRows(bed)).toEqual(table('Root fields'));
});

test('the fields of every object are as in the table', async () => {
  expect(await fieldRows(schema, bed)).toEqual(table('Fields of objects'));
});

test('RPCs are as in the table', async () => {
  const { app } = bed;
  expect(await rpcRows(app, bed, (token) => connect(app.grpcAddress, token))).toEqual(table('RPCs'));
});

test.skipIf(opensslMissing !== null)('RPCs by a client’s certificate are as in the table', async () => {
  await using certified = await startCertificateBed();
  expect(await rpcRows(certified.app, certified, certified.connectWith)).toEqual(
    table('RPCs by a client’s certificate'),
  );
});

test('what HTTP serves beside GraphQL is as in the table', async () => {
  const page = { accept: 'text/html' };
  const paths: [path: string, headers?: Record<string, string>][] = [
    ['/live'],
    ['/ready'],
    ['/health'],
    ['/metrics'],
    ['/graphql', page],
  ];
  const rows: string[] = [];
  for (const [path, headers] of paths) {
    const outcome = async (token: string | null) => {
      const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
      const response = await fetch(`${bed.app.httpUrl}${path}`, {
        headers: { ...headers, ...authorization },
      });
      await response.text();
      return response.ok ? 'ok' : String(response.status);
    };
    rows.push(await rowOf(bed, headers === undefined ? `GET ${path}` : `GET ${path} by a browser`, outcome));
  }
  expect(rows).toEqual(table('Other paths'));
});
