import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { applyAdministratorScript } from '../../src/db/administrator-script.ts';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { TenantServiceService } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { connect } from '../grpc/grpc-client.ts';
import { type PostgresVersion, postgresVersions, startBareCluster } from '../support/postgres-versions.ts';
import {
  bareEnvironment,
  createDirectory,
  devToken,
  nodeProgram,
  projectRoot,
  spawnService,
} from '../support/process.ts';
import { type Caller, createTenant, untilActive } from './calls.ts';
import { canMakeNetworks, createNetwork } from './network.ts';

const run = promisify(execFile);

const words = [
  ...['--port=50051', '--db-host=localhost', '--db-port=5432'],
  ...['--db-user=admin', '--db-pass=securepassword', '--db-name=tenant_registry'],
];
const bareCluster = fileURLToPath(new URL('./bare-cluster.ts', import.meta.url));
const administratorSql = join(projectRoot, 'deploy/administrator.sql');
const hasPsql = spawnSync('psql', ['--version']).status === 0;

/** A service that was started by the words, with ports of ours that lead to it. */
interface Deployment extends AsyncDisposable {
  readonly caller: Caller;
  readonly grpcAddress: string;
  /** The superuser, on the registry's database. */
  readonly administrator: DatabaseSettings;
}

describe.each(postgresVersions)('the start command of older deployments', (version) => {
  describe.skipIf(!version.available)(version.title, () => {
    test(canMakeNetworks
      ? 'works word for word'
      : 'works with other ports (the words as they are need root, who may make a network where 5432 is free)', async () => {
      await using deployment = await (canMakeNetworks ? deployWordForWord : deployOnOtherPorts)(version);
      await provesItself(deployment);
    }, 60_000);
  });
});

async function provesItself({ caller, grpcAddress, administrator }: Deployment): Promise<void> {
  using grpc = connect(grpcAddress, caller.token);
  const input = { name: 'Bee', subdomain: 'bee', contactEmail: 'ops@bee.example', tier: '' };
  const { tenant } = await grpc.unary(TenantServiceService.createTenant, input);
  const overGrpc = tenant?.id ?? '';
  const overGraphql = await createTenant(caller, 'cee');
  for (const id of [overGrpc, overGraphql]) {
    await untilActive(caller, id);
    const seen = await grpc.unary(TenantServiceService.getTenant, { id });
    expect(seen.tenant).toMatchObject({ id, status: 'active' });
  }

  const registry = new pg.Client(administrator);
  await registry.connect();
  try {
    const { rows: users } = await registry.query(
      "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'admin'",
    );
    expect(users).toEqual([{ rolsuper: false, rolcreaterole: true, rolcreatedb: false }]);
    const { rows: registries } = await registry.query<{ id: string }>('SELECT id FROM registry');
    expect(registries).toHaveLength(1);
    for (const id of [overGrpc, overGraphql]) await standsAsItShould(registry, registries[0]?.id, id);
    await staysInside(registry, administrator, overGrpc, overGraphql);
  } finally {
    await registry.end();
  }
}

/** Roles, schema and tables of a tenant, as the superuser sees them. */
async function standsAsItShould(registry: pg.Client, registryId: string | undefined, id: string) {
  const schema = schemaOf(id);
  const mark = `tenant-management-service registry=${registryId} tenant=${id}`;
  const { rows: roles } = await registry.query(
    `SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, shobj_description(oid, 'pg_authid') AS mark,
            (SELECT count(*)::int FROM pg_auth_members
             WHERE roleid = pg_roles.oid AND member <> roleid AND member = 'admin'::regrole
               AND ${await inheritedOnly(registry)}) AS used_by_service
     FROM pg_roles WHERE rolname LIKE $1 || '%' ORDER BY rolname`,
    [schema],
  );
  const powerless = { rolsuper: false, rolcreaterole: false, rolcreatedb: false, mark, used_by_service: 0 };
  expect(roles).toEqual([
    { rolname: schema, rolcanlogin: false, ...powerless },
    { rolname: `${schema}_app`, rolcanlogin: true, ...powerless },
    { rolname: `${schema}_rows`, rolcanlogin: false, ...powerless },
  ]);
  const { rows: schemas } = await registry.query(
    `SELECT nspowner::regrole::text AS owner, obj_description(oid, 'pg_namespace') AS mark,
            (SELECT array_agg(DISTINCT relowner::regrole::text) FROM pg_class WHERE relnamespace = n.oid) AS owners,
            (SELECT count(*) > 3 FROM pg_class WHERE relnamespace = n.oid AND relkind = 'r') AS has_tables
     FROM pg_namespace n WHERE nspname = $1`,
    [schema],
  );
  expect(schemas).toEqual([{ owner: schema, mark, owners: [schema], has_tables: true }]);
}

/** From 16 on the maker of a role keeps the right to administer it, without being a member that inherits or may become it. */
async function inheritedOnly(registry: pg.Client): Promise<string> {
  const { rows } = await registry.query<{ number: number }>(
    "SELECT current_setting('server_version_num')::int AS number",
  );
  return (rows[0]?.number ?? 0) >= 160_000 ? '(inherit_option OR set_option)' : 'true';
}

/** What the login of a tenant can do, and what it cannot. */
async function staysInside(
  registry: pg.Client,
  administrator: DatabaseSettings,
  id: string,
  neighbour: string,
) {
  const user = `${schemaOf(id)}_app`;
  // The true password is known to the service alone.
  await registry.query(`ALTER ROLE ${user} PASSWORD 'known'`);
  const app = new pg.Client({ ...administrator, user, password: 'known' });
  await app.connect();
  try {
    await app.query("INSERT INTO users (email, display_name) VALUES ('ann@bee.example', 'Ann')");
    await app.query("UPDATE users SET display_name = 'Anna'");
    const { rows } = await app.query('SELECT display_name FROM users');
    expect(rows).toEqual([{ display_name: 'Anna' }]);
    expect((await app.query('DELETE FROM users')).rowCount).toBe(1);
    for (const forbidden of [
      'SELECT FROM public.tenants',
      `SELECT FROM ${schemaOf(neighbour)}.users`,
      'CREATE TABLE mine ()',
      'DROP TABLE users',
      'TRUNCATE users CASCADE',
      'CREATE SCHEMA mine',
      'CREATE TABLE public.mine ()',
      'CREATE ROLE mine',
      'SELECT lo_create(0)',
      `SET ROLE ${schemaOf(id)}`,
      `ALTER SCHEMA ${schemaOf(id)} RENAME TO mine`,
    ]) {
      await expect(app.query(forbidden), forbidden).rejects.toMatchObject({ code: '42501' });
    }
  } finally {
    await app.end();
  }
}

async function deployWordForWord(version: PostgresVersion): Promise<Deployment> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await createDirectory());
  const dataDir = stack.use(await createDirectory()).path;
  const network = stack.use(await createNetwork([4000, 50051, 5432]));
  const program = [nodeProgram, bareCluster, version.version, directory.path, '5432'];
  const cluster = stack.use(
    spawnService({ dataDir: directory.path, command: [...network.prefix, ...program] }),
  );
  const { password } = await cluster.logged('started');
  const administrator = {
    host: '127.0.0.1',
    port: await network.forward(5432),
    user: 'postgres',
    password: String(password),
    database: 'postgres',
    ssl: false,
  } as const;
  await prepare(administrator);
  const service = stack.use(
    spawnService({ dataDir, command: [...network.prefix, 'npm', 'start', '--', ...words] }),
  );
  expect(await service.logged('ready')).toMatchObject({ http: 4000, grpc: 50051, role: 'all' });
  const http = await network.forward(4000);
  const grpc = await network.forward(50051);
  return await deployment(stack, dataDir, administrator, http, grpc);
}

async function deployOnOtherPorts(version: PostgresVersion): Promise<Deployment> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await createDirectory());
  const dataDir = stack.use(await createDirectory()).path;
  const { administrator } = stack.use(
    await startBareCluster({ directory: directory.path, binaries: await version.binaries() }),
  );
  await prepare(administrator);
  const others = words.map((word) =>
    word.replace('50051', '0').replace('--db-port=5432', `--db-port=${administrator.port}`),
  );
  const service = stack.use(
    spawnService({ dataDir, command: ['npm', 'start', '--', ...others, '--http-port=0'] }),
  );
  const { http, grpc } = await service.logged('ready');
  return await deployment(stack, dataDir, administrator, Number(http), Number(grpc));
}

/** Does what the documentation tells the administrator, and nothing else. */
async function prepare(administrator: DatabaseSettings): Promise<void> {
  const { host, port, user, password } = administrator;
  if (!hasPsql) {
    const variables = { user: 'admin', password: 'securepassword', name: 'tenant_registry' };
    return applyAdministratorScript(administrator, variables);
  }
  const where = ['-h', host, '-p', String(port), '-U', user, '-d', 'postgres'];
  await run('psql', [...where, '-v', 'password=securepassword', '-f', administratorSql], {
    env: { ...bareEnvironment, PGPASSWORD: password },
    timeout: 30_000,
  });
}

async function deployment(
  stack: AsyncDisposableStack,
  dataDir: string,
  administrator: DatabaseSettings,
  http: number,
  grpc: number,
): Promise<Deployment> {
  const caller = { url: `http://127.0.0.1:${http}`, token: await devToken(dataDir) };
  const owned = stack.move();
  return {
    caller,
    grpcAddress: `127.0.0.1:${grpc}`,
    administrator: { ...administrator, database: 'tenant_registry' },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function schemaOf(id: string): string {
  return `tenant_${id.replaceAll('-', '')}`;
}
