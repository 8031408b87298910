import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { sqlSession } from '../../src/db/sql-session.ts';
import { asRoleAdmin, type RoleAdmin, roleAdminOf } from '../../src/workers/role-admin.ts';
import { createRoleAdmins, type RoleAdminsOptions } from '../../src/workers/role-admins.ts';
import { startVersionCluster } from '../db/version-cluster.ts';
import type { TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { connect, type Session } from './worker-app.ts';

/** As many as one administers. */
const capacity = 200;

/** As many administrators as a chief makes. */
const chiefCapacity = 8;

describe.each(postgresVersions)('$title', (version) => {
  describe.skipIf(!version.available)('the roles of tenants', () => {
    let parts: AsyncDisposableStack;
    let database: TestDatabase;
    let session: Session;
    beforeAll(async () => {
      parts = new AsyncDisposableStack();
      database = parts.use(await parts.use(await startVersionCluster(version)).emptyDatabase());
      session = parts.use(await connect(database.settings));
    }, 60_000);
    afterAll(() => parts?.disposeAsync());

    async function inTransaction<T>(on: Pick<Session, 'query'>, work: () => Promise<T>): Promise<T> {
      await on.query('BEGIN');
      const result = await work();
      await on.query('COMMIT');
      return result;
    }

    /** A worker that makes none ahead of need, unless it is to. */
    const worker = (registryId: string, beside: RoleAdminsOptions['beside'] = () => {}) =>
      createRoleAdmins({ registryId, beside });

    const next = (registryId: string, on = session) => inTransaction(on, () => worker(registryId).next(on));

    /** As a step does it. @returns their names */
    async function createRoles(admin: RoleAdmin, count: number): Promise<string[]> {
      const names = Array.from({ length: count }, () => `r_${randomUUID().replaceAll('-', '')}`);
      const { before, after } = asRoleAdmin(admin);
      const statements = names.map((name) => `CREATE ROLE ${name}`).join(';');
      await inTransaction(session, () => session.query(`${before}${statements}${after}`));
      return names;
    }

    /** What the service may act as. */
    const granted = async (registryId: string, kind = 'roles') =>
      (
        await session.query(
          `SELECT role.rolname AS name FROM pg_auth_members AS membership JOIN pg_roles AS role ON role.oid = roleid
           WHERE member = session_user::regrole AND starts_with(rolname, $1) AND (to_jsonb(membership) ->> 'set_option')::boolean
           ORDER BY 1`,
          [`tms_${registryId.replaceAll('-', '')}_${kind}`],
        )
      ).map(({ name }) => name);

    const name = (registryId: string, number: number, kind = 'roles') =>
      `tms_${registryId.replaceAll('-', '')}_${kind}_${String(number).padStart(5, '0')}`;

    const administrator = (registryId: string, number: number, granted = true, chief = 1) => ({
      name: name(registryId, number),
      chief: name(registryId, chief, 'chiefs'),
      granted,
    });

    if (version.version === '15') {
      test('are administered by the service itself', async () => {
        const registryId = randomUUID();
        expect(await next(registryId)).toBeNull();
        const [role = ''] = await createRoles(null, 1);
        expect(await roleAdminOf(session, registryId, role)).toBeNull();
        expect(await granted(registryId)).toEqual([]);
      });
      return;
    }

    test('are administered by roles of which each has room for so many, and the service acts as the newest three', async () => {
      const registryId = randomUUID();
      const first = await next(registryId);
      expect(first).toEqual(administrator(registryId, 1));
      const [old = ''] = await createRoles(first, capacity - 1);
      expect(await next(registryId)).toEqual(first);
      await createRoles(first, 1);
      for (const number of [2, 3, 4]) {
        const admin = await next(registryId);
        expect(admin).toEqual(administrator(registryId, number));
        await createRoles(admin, capacity);
      }
      expect(await granted(registryId)).toEqual([2, 3, 4].map((number) => name(registryId, number)));

      const admin = await roleAdminOf(session, registryId, old);
      expect(admin).toEqual(administrator(registryId, 1, false));
      const { before, after } = asRoleAdmin(admin);
      await inTransaction(session, () => session.query(`${before}ALTER ROLE ${old} LOGIN${after}`));
      expect(
        await session.query('SELECT rolcanlogin AS can FROM pg_roles WHERE rolname = $1', [old]),
      ).toEqual([{ can: true }]);
      expect(await granted(registryId)).toEqual([2, 3, 4].map((number) => name(registryId, number)));
      expect(await session.query('SELECT current_user = session_user AS own')).toEqual([{ own: true }]);
    });

    test('have administrators that chiefs make, so many each, and the service acts as all chiefs', async () => {
      const registryId = randomUUID();
      const first = await next(registryId);
      expect(first).toEqual(administrator(registryId, 1));
      await createRoles(
        { name: name(registryId, 1, 'chiefs'), chief: null, granted: true },
        chiefCapacity - 1,
      );
      let admin = first;
      for (const number of [2, 3, 4]) {
        await createRoles(admin, capacity);
        admin = await next(registryId);
        expect(admin).toEqual(administrator(registryId, number, true, 2));
      }
      // Also of the one that another chief made.
      expect(await granted(registryId)).toEqual([2, 3, 4].map((number) => name(registryId, number)));
      expect(await granted(registryId, 'chiefs')).toEqual(
        [1, 2].map((number) => name(registryId, number, 'chiefs')),
      );
    });

    test('get another chief where the service may not act as the newest one, whose administrators stay', async () => {
      const registryId = randomUUID();
      let admin = await next(registryId);
      await session.query(`REVOKE ${name(registryId, 1, 'chiefs')} FROM SESSION_USER`);
      for (const number of [2, 3, 4]) {
        await createRoles(admin, capacity);
        admin = await next(registryId);
        expect(admin).toEqual(administrator(registryId, number, true, 2));
      }
      // Only its chief could have taken back the right to act as the first one.
      expect(await granted(registryId)).toEqual([1, 2, 3, 4].map((number) => name(registryId, number)));
    });

    test('have no chief that somebody else has made under its name', async () => {
      const registryId = randomUUID();
      await using superuser = await connect(database.administrator);
      await superuser.query(
        `CREATE ROLE ${name(registryId, 1, 'chiefs')} CREATEROLE;
         GRANT ${name(registryId, 1, 'chiefs')} TO ${database.settings.user} WITH INHERIT FALSE`,
      );
      expect(await next(registryId)).toEqual(administrator(registryId, 1, true, 2));
    });

    test('may have an administrator that the service made itself', async () => {
      const registryId = randomUUID();
      await session.query(`CREATE ROLE ${name(registryId, 1)} NOLOGIN CREATEROLE`);
      const [role = ''] = await createRoles({ name: name(registryId, 1), chief: null, granted: false }, 1);
      expect(await roleAdminOf(session, registryId, role)).toEqual({
        name: name(registryId, 1),
        chief: null,
        granted: false,
      });
      expect(await granted(registryId)).toEqual([]);
    });

    test('get one more administrator when several workers find none with room at once', async () => {
      const registryId = randomUUID();
      await using stack = new AsyncDisposableStack();
      const sessions: Session[] = [];
      for (let count = 0; count < 5; count++) sessions.push(stack.use(await connect(database.settings)));
      const all = await Promise.all(sessions.map((each) => next(registryId, each)));
      expect(all).toEqual(Array(5).fill(administrator(registryId, 1)));
    });

    test('go to an administrator that a worker knows, unless it is no longer among the newest', async () => {
      vi.useFakeTimers({ toFake: ['performance'] });
      onTestFinished(() => void vi.useRealTimers());
      const registryId = randomUUID();
      const roleAdmins = worker(registryId);
      const known = () => inTransaction(session, () => roleAdmins.next(session));
      const first = await known();
      await createRoles(first, capacity);
      expect(await known()).toEqual(administrator(registryId, 2));
      const second = await known();
      await createRoles(second, capacity);
      // It is not counted each time.
      expect(await known()).toEqual(second);
      for (const _ of [3, 4]) await createRoles(await next(registryId), capacity);
      await next(registryId);
      const again = () => inTransaction(session, () => roleAdmins.again(session, second));
      // For so short a time it is not asked; nobody makes so many tenants in that.
      expect(await again()).toEqual(second);
      vi.advanceTimersByTime(100);
      expect(await again()).toEqual(administrator(registryId, 2, false));
      expect(await known()).toEqual(administrator(registryId, 5));
    });

    test('get the next administrator ahead of need, once, and fill the one before it first', async () => {
      const registryId = randomUUID();
      await using other = await connect(database.settings);
      let made = Promise.resolve();
      const beside: RoleAdminsOptions['beside'] = (work) => {
        made = made.then(() => work(other));
      };
      const workers = [worker(registryId, beside), worker(registryId, beside)];
      const nextOfEach = async () => {
        const admins: RoleAdmin[] = [];
        for (const each of workers) admins.push(await inTransaction(session, () => each.next(session)));
        await made;
        return admins.map((admin) => admin?.name);
      };
      const both = (number: number) => [name(registryId, number), name(registryId, number)];
      const first = await next(registryId);
      await createRoles(first, capacity - 1);
      expect(await nextOfEach()).toEqual(both(1));
      expect(await granted(registryId)).toEqual([1, 2].map((number) => name(registryId, number)));
      // Nobody waits for it any more: that one was committed long before.
      await createRoles(first, 1);
      await using holder = await connect(database.settings);
      await createRoles(administrator(registryId, 2), 1);
      await holder.query('SELECT pg_advisory_lock(7243, hashtext($1))', [registryId]);
      const later = worker(registryId);
      expect(await inTransaction(session, () => later.next(session))).toEqual(administrator(registryId, 2));
    });

    test.each(['COMMIT', 'ROLLBACK'])(
      'wait for the one who makes an administrator, until its %s',
      async (end) => {
        const registryId = randomUUID();
        const client = new pg.Client(database.settings);
        await client.connect();
        await using _ = { [Symbol.asyncDispose]: () => client.end() };
        // Prepared, as in the service: a statement that is parsed anew would find out by itself.
        const other = sqlSession(client);
        const actAs = async (admin: RoleAdmin) => {
          const { before, after } = asRoleAdmin(admin);
          await other.query(`${before}SELECT${after}`);
        };
        const first = await next(registryId);
        // It remembers from now on whose member it is.
        for (let time = 0; time < 6; time++) {
          await inTransaction(other, async () => actAs(await worker(registryId).next(other)));
        }
        await createRoles(first, capacity);

        await session.query('BEGIN');
        const second = await worker(registryId).next(session);
        const waiting = inTransaction(other, async () => {
          const admin = await worker(registryId).next(other);
          await actAs(admin);
          return admin;
        });
        await eventually(
          async () =>
            (await session.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`))
              .length === 1,
          10_000,
        );
        await session.query(end);
        expect(await waiting).toEqual(second);
      },
    );

    test('of another registry have administrators of their own, marked with its id', async () => {
      const [one, other] = [randomUUID(), randomUUID()];
      const [ours] = [await next(one), await next(other)];
      const [role = ''] = await createRoles(ours, 1);
      expect(await roleAdminOf(session, one, role)).toEqual(ours);
      expect(await roleAdminOf(session, other, role)).toBeNull();
      expect(
        await session.query(
          `SELECT shobj_description(oid, 'pg_authid') AS mark FROM pg_roles WHERE rolname = $1`,
          [name(one, 1)],
        ),
      ).toEqual([{ mark: `tenant-management-service registry=${one} roles` }]);
    });
  });
});
