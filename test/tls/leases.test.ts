import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type ConnectionResponse,
  ConnectionPoolServiceService as rpc,
} from '../../src/generated/proto/connectionpool/connection_pool.ts';
import { editor, newTenant } from '../core/core-app.ts';
import { all, connect } from '../grpc/grpc-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestAuthority, opensslMissing, type TestAuthority } from '../support/certificates.ts';
import { asAdministrator } from '../support/database.ts';
import { pgbouncerMissing, startPgbouncer } from '../support/pgbouncer.ts';
import { type EncryptedPostgres, startEncryptedPostgres } from './encrypted-servers.ts';

describe.skipIf(opensslMissing !== null)('a lease of a PostgreSQL with TLS', () => {
  let parts: AsyncDisposableStack;
  let authority: TestAuthority;
  let stranger: TestAuthority;
  let postgres: EncryptedPostgres;
  let tenantId: string;

  const start = (worker: boolean, ...args: string[]) =>
    startTestApp({ database: postgres.database, worker, args });
  const verified = () => ['--db-sslmode=verify-full', `--db-ca=${authority.cert}`];

  beforeAll(async () => {
    parts = new AsyncDisposableStack();
    authority = parts.use(await createTestAuthority());
    stranger = parts.use(await createTestAuthority());
    postgres = parts.use(await startEncryptedPostgres(await authority.issue('server')));
    await using app = await start(true, ...verified());
    const { tenant } = await app.core.tenants.create(editor, newTenant());
    await all(app.core.watch.one(tenant.id, 0));
    tenantId = tenant.id;
  });
  afterAll(() => parts?.disposeAsync());

  async function withLease(app: TestApp, work: (lease: ConnectionResponse) => Promise<void>): Promise<void> {
    using caller = connect(app.grpcAddress, app.tokens.admin);
    const lease = await caller.unary(rpc.getConnection, { tenantId, dsn: '' });
    await work(lease);
    await caller.unary(rpc.releaseConnection, { connectionId: lease.connectionId });
  }

  /** As docs/leases.md connects: by nothing but the answer, and the authorities that the holder trusts. */
  async function logIn(lease: ConnectionResponse, { cert }: TestAuthority): Promise<pg.Client> {
    const { host, port, database, username: user, password, sslmode } = lease;
    const ca = await readFile(cert, 'utf8');
    const ssl = sslmode !== 'disable' && { rejectUnauthorized: sslmode === 'verify-full', ca };
    const client = new pg.Client({ host, port: Number(port), database, user, password, ssl });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  const encrypted = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';

  test('logs in encrypted as its answer says, to a server whose certificate it verifies', async () => {
    await using app = await start(false, ...verified());
    await withLease(app, async (lease) => {
      expect(lease.sslmode).toBe('verify-full');
      await expect(logIn({ ...lease, sslmode: 'disable' }, authority)).rejects.toThrow('no encryption');
      await expect(logIn(lease, stranger)).rejects.toThrow('unable to verify the first certificate');
      const holder = await logIn(lease, authority);
      expect((await holder.query(encrypted)).rows).toEqual([{ ssl: true }]);
      await holder.end();
    });
  });

  test('verifies nothing where the service itself does not', async () => {
    await using app = await start(false, '--db-sslmode=require');
    await withLease(app, async (lease) => {
      expect(lease.sslmode).toBe('require');
      const holder = await logIn(lease, stranger);
      expect((await holder.query(encrypted)).rows).toEqual([{ ssl: true }]);
      await holder.end();
    });
  });

  test.skipIf(pgbouncerMissing !== null)(
    'says the same of a PgBouncer in front, encrypted on both sides',
    async () => {
      const { administrator } = postgres.database;
      const pooler = parts.use(
        await startPgbouncer(administrator, {
          // The test's own look whether it is up is in plain text.
          client_tls_sslmode: 'allow',
          client_tls_cert_file: postgres.files.cert,
          client_tls_key_file: postgres.files.key,
          server_tls_sslmode: 'require',
        }),
      );
      const where = [`--pooler-host=${pooler.host}`, `--pooler-port=${pooler.port}`];
      await using app = await start(false, ...verified(), ...where);
      await withLease(app, async (lease) => {
        expect(lease).toMatchObject({ port: String(pooler.port), sslmode: 'verify-full' });
        await expect(logIn(lease, stranger)).rejects.toThrow('unable to verify the first certificate');
        const holder = await logIn(lease, authority);
        await holder.query('SELECT FROM users');
        const { rows } = await asAdministrator(
          administrator,
          `SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = '${lease.username}'`,
        );
        expect(rows).toEqual([{ ssl: true }]);
        await holder.end();
      });
    },
  );
});
