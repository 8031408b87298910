import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { ConnectionPoolServiceService as pool } from '../../../src/generated/proto/connectionpool/connection_pool.ts';
import { HealthService as health } from '../../../src/generated/proto/grpc/health/v1/health.ts';
import { TenantServiceService as rpc } from '../../../src/generated/proto/tenant/v1/tenant.ts';
import { reflectionServices } from '../../../src/grpc/reflection-service.ts';
import { type Caller, failureOf } from '../../grpc/grpc-client.ts';
import type { TestApp } from '../../support/app.ts';
import { type Callers, rowOf } from './callers.ts';
import { type KnownTenant, tenantThatIs } from './tenants.ts';

const id = randomUUID();
const list = { pageSize: 0, pageToken: '', status: [], tier: '', search: '', deleted: '' };
const nothing = { name: '', subdomain: '', contactEmail: '', tier: '' };

/** `known` makes a tenant that is active. */
type Use = (caller: Caller, known: () => Promise<KnownTenant>) => Promise<unknown>;

/** Every method in each way that has a role of its own, so that it fails or has no effect where the caller is admitted. */
const uses: readonly (readonly [what: string, use: Use])[] = [
  ['tenant.v1.TenantService/CreateTenant', (caller) => caller.unary(rpc.createTenant, nothing)],
  ['tenant.v1.TenantService/GetTenant', (caller) => caller.unary(rpc.getTenant, { id })],
  [
    'tenant.v1.TenantService/UpdateTenant',
    (caller) => caller.unary(rpc.updateTenant, { id, name: 'Name', subdomain: '', status: '' }),
  ],
  [
    'tenant.v1.TenantService/UpdateTenant(the same status)',
    async (caller, known) =>
      caller.unary(rpc.updateTenant, { id: (await known()).id, name: '', subdomain: '', status: 'active' }),
  ],
  [
    'tenant.v1.TenantService/UpdateTenant(another status)',
    async (caller, known) =>
      caller.unary(rpc.updateTenant, { id: (await known()).id, name: '', subdomain: '', status: 'inactive' }),
  ],
  ['tenant.v1.TenantService/DeleteTenant', (caller) => caller.unary(rpc.deleteTenant, { id })],
  ['tenant.v1.TenantService/ListTenants', (caller) => caller.unary(rpc.listTenants, list)],
  [
    'tenant.v1.TenantService/ListTenants(deleted)',
    (caller) => caller.unary(rpc.listTenants, { ...list, deleted: 'include' }),
  ],
  ['tenant.v1.TenantService/RestoreTenant', (caller) => caller.unary(rpc.restoreTenant, { id })],
  ['tenant.v1.TenantService/RetryOperation', (caller) => caller.unary(rpc.retryOperation, { id })],
  ['tenant.v1.TenantService/CancelOperation', (caller) => caller.unary(rpc.cancelOperation, { id })],
  [
    'tenant.v1.TenantService/WatchProvisioning',
    async (caller, known) =>
      first(caller.stream(rpc.watchProvisioning, { tenantId: (await known()).id, afterSequence: 0 })),
  ],
  [
    'connectionpool.ConnectionPoolService/GetConnection',
    (caller) => caller.unary(pool.getConnection, { tenantId: id, dsn: '' }),
  ],
  [
    'connectionpool.ConnectionPoolService/ReleaseConnection',
    (caller) => caller.unary(pool.releaseConnection, { connectionId: id }),
  ],
  [
    'connectionpool.ConnectionPoolService/GetPoolStats',
    (caller) => caller.unary(pool.getPoolStats, { tenantId: id }),
  ],
  ['grpc.health.v1.Health/Check', (caller) => caller.unary(health.check, { service: '' })],
  ['grpc.health.v1.Health/List', (caller) => caller.unary(health.list, {})],
  ['grpc.health.v1.Health/Watch', (caller) => first(caller.stream(health.watch, { service: '' }))],
  ...reflectionServices.map(({ serverReflectionInfo: method }): readonly [string, Use] => {
    if (method === undefined) throw new Error('the service has another method now');
    const services = { host: '', messageRequest: { $case: 'listServices', value: '' } };
    return [method.path.slice(1), (caller) => first(caller.stream(method, services))];
  }),
];

/** The methods in the protos that nobody calls above. */
export function forgottenMethods(): string[] {
  const asked = new Set(uses.map(([what]) => what.replace(/\(.*/, '')));
  const bytes = readFileSync(new URL('../../../src/generated/descriptors.binpb', import.meta.url));
  return [...createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes))]
    .filter((type) => type.kind === 'service')
    .flatMap(({ typeName, methods }) => methods.map(({ name }) => `${typeName}/${name}`))
    .filter((method) => !asked.has(method));
}

/** The rows of all methods; `connectWith` is a connection of who shows this. */
export async function rpcRows<Shown>(
  app: TestApp,
  callers: Callers<Shown>,
  connectWith: (shown: Shown) => Caller,
): Promise<string[]> {
  const rows: string[] = [];
  for (const [what, use] of uses) {
    const outcome = async (shown: Shown): Promise<string> => {
      using caller = connectWith(shown);
      try {
        await use(caller, () => tenantThatIs(app, 'active'));
        return 'ok';
      } catch (error) {
        const { code } = await failureOf(Promise.reject(error));
        return code === 'NOT_FOUND' || code === 'INVALID_ARGUMENT' ? 'ok' : code;
      }
    };
    rows.push(await rowOf(callers, what, outcome));
  }
  return rows;
}

async function first(stream: AsyncIterable<unknown> & { cancel(): void }): Promise<void> {
  for await (const _message of stream) return stream.cancel();
  throw new Error('the stream said nothing');
}
