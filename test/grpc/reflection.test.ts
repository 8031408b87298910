import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.ts';
import { serveAgain } from './extra-server.ts';

const run = promisify(execFile);

let app: TestApp;

beforeAll(async () => {
  app = await startTestApp();
});

afterAll(() => app[Symbol.asyncDispose]());

/** An independent client, that learns from the server what the messages are. */
async function curl(address: string, ...rest: string[]): Promise<string> {
  const { stdout } = await run(
    'node_modules/.bin/buf',
    ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', ...rest],
    {
      env: { ...process.env, NO_PROXY: '*', HTTP_PROXY: '', http_proxy: '' },
    },
  ).catch((error: Error & { stderr?: string }) => {
    throw new Error(`buf curl failed at ${address}: ${error.stderr}`);
  });
  return stdout;
}

test.each(['grpc-v1', 'grpc-v1alpha'])(
  'a client without protos calls what it learns by reflection (%s)',
  async (protocol) => {
    const url = `http://${app.grpcAddress}/tenant.v1.TenantService`;
    const authorization = [
      '-H',
      `authorization: Bearer ${app.tokens.editor}`,
      '--reflect-protocol',
      protocol,
    ];
    const data = { name: 'Curled', subdomain: `curled-${protocol}`, contactEmail: 'curl@example.com' };
    const created = JSON.parse(
      await curl(app.grpcAddress, ...authorization, '-d', JSON.stringify(data), `${url}/CreateTenant`),
    );
    expect(created).toMatchObject({ tenant: { name: 'Curled', status: 'provisioning' } });
    const { id } = created.tenant;

    const events = await curl(
      app.grpcAddress,
      ...authorization,
      '-d',
      JSON.stringify({ tenantId: id }),
      `${url}/WatchProvisioning`,
    );
    expect(events.match(/"sequence"/g)?.length).toBeGreaterThan(5);

    const read = JSON.parse(
      await curl(app.grpcAddress, ...authorization, '-d', JSON.stringify({ id }), `${url}/GetTenant`),
    );
    expect(read).toMatchObject({ tenant: { id, status: 'active' } });
  },
);

test('the services and their methods can be listed', async () => {
  const services = await curl(app.grpcAddress, '--list-services', `http://${app.grpcAddress}`);
  expect(services.trim().split('\n').sort()).toEqual([
    'connectionpool.ConnectionPoolService',
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'tenant.v1.TenantService',
  ]);
  const methods = await curl(app.grpcAddress, '--list-methods', `http://${app.grpcAddress}`);
  expect(methods).toContain('tenant.v1.TenantService/WatchProvisioning');
});

test('a failure reaches an independent client with its details', async () => {
  const url = `http://${app.grpcAddress}/tenant.v1.TenantService/GetTenant`;
  const call = curl(
    app.grpcAddress,
    '-H',
    `authorization: Bearer ${app.tokens.viewer}`,
    '-d',
    '{"id":"x"}',
    url,
  );
  await expect(call).rejects.toThrow(/"invalid_argument"[\s\S]*google\.rpc\.BadRequest/);
});

test('where it is off, there is nothing to learn', async () => {
  await using server = await serveAgain(app.core, { reflection: false });
  await expect(curl(server.address, '--list-services', `http://${server.address}`)).rejects.toThrow(
    /unimplemented/i,
  );
});
