import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { expect, test } from 'vitest';
import { applyAdministratorScript } from '../../src/db/administrator-script.ts';
import { embeddedBinaries } from '../../src/db/postgres-binaries.ts';
import { TenantServiceService } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { connect, failureOf } from '../grpc/grpc-client.ts';
import { eventually } from '../support/eventually.ts';
import { startBareCluster } from '../support/postgres-versions.ts';
import { createDirectory, databaseArguments, devToken, startService } from '../support/process.ts';
import { createTenant, graphql, httpGet, untilActive } from './calls.ts';

const unavailable = {
  code: 'UNAVAILABLE',
  message: expect.any(String),
  reason: expect.any(String),
  fields: [],
};
const up = {
  status: 200,
  body: { status: 'ok', checks: { database: 'up', redis: 'off', worker: 'up' } },
};
const down = {
  status: 503,
  body: { status: 'down', checks: { database: 'down', redis: 'off', worker: 'up' } },
};

test('when the database goes away callers are told so, and when it is back all is well without a restart', async () => {
  await using directory = await createDirectory();
  await using clusterDirectory = await createDirectory();
  await using cluster = await startBareCluster({
    directory: clusterDirectory.path,
    binaries: await embeddedBinaries(),
  });
  const { administrator } = cluster;
  const login = { user: 'admin', password: 'x', name: 'tenant_registry' };
  await applyAdministratorScript(administrator, login);
  const settings = { ...administrator, user: 'admin', password: 'x', database: 'tenant_registry' };
  // The database goes away in the middle of a step.
  await using migrations = await createDirectory();
  await writeFile(join(migrations.path, '0001_held.sql'), 'SELECT pg_advisory_xact_lock_shared(1);\n');
  await using service = await startService({
    dataDir: directory.path,
    args: [...databaseArguments(settings), `--tenant-migrations=${migrations.path}`],
  });
  const caller = { url: service.httpUrl, token: await devToken(directory.path) };
  using grpc = connect(service.grpcAddress, caller.token);
  const holder = new pg.Client({ ...administrator, database: settings.database });
  holder.on('error', () => {});
  await holder.connect();
  await holder.query('SELECT pg_advisory_lock(1)');
  const before = await createTenant(caller, 'before');
  await eventually(async () => {
    const { rowCount } = await holder.query(
      "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'",
    );
    return rowCount === 1;
  }, 20_000);

  await cluster.kill();
  await eventually(async () => isDeepStrictEqual(await httpGet(`${service.httpUrl}/health`), down), 20_000);
  expect(await httpGet(`${service.httpUrl}/live`)).toEqual({ status: 200, body: { status: 'ok' } });
  for (const question of [
    '{ tenants { nodes { id } } }',
    `{ tenant(id: "${before}") { id } }`,
    'mutation { createTenant(input: { name: "N", subdomain: "new", contactEmail: "a@b.example" }) { __typename } }',
  ]) {
    const { errors } = await graphql(caller, question);
    expect(
      errors?.map(({ extensions }) => extensions.code),
      question,
    ).toEqual(['UNAVAILABLE']);
  }
  expect(await failureOf(grpc.unary(TenantServiceService.getTenant, { id: before }))).toEqual(unavailable);
  // Long enough for whoever tries a few times and gives up: ten looks at /health, of the dead database.
  for (let look = 1; look <= 10; look++) expect(await httpGet(`${service.httpUrl}/health`)).toEqual(down);

  await cluster.start();
  await eventually(async () => isDeepStrictEqual(await httpGet(`${service.httpUrl}/health`), up), 20_000);
  await untilActive(caller, before);
  const after = await createTenant(caller, 'after');
  await untilActive(caller, after);
  const { tenant } = await grpc.unary(TenantServiceService.getTenant, { id: after });
  expect(tenant).toMatchObject({ id: after, status: 'active' });
  expect(service.stderr()).toBe('');

  // And when it is told to stop while the database is away, it stops.
  await cluster.stop();
  service.signal('SIGTERM');
  expect(await service.end).toMatchObject({ code: 0, stderr: '' });
}, 120_000);
