import { InvalidStateError, NotFoundError } from '../core/errors.ts';
import type { SqlSession } from '../core/ports.ts';
import { asRoleAdmin, roleAdminOf } from './role-admin.ts';
import { scramVerifier } from './scram.ts';
import { ownershipMark, tenantNames } from './tenant-names.ts';

export interface PasswordRotationOptions {
  readonly registryId: string;
  /** Runs `work` in one transaction of the service's role. */
  readonly transaction: <T>(work: (sql: SqlSession) => Promise<T>) => Promise<T>;
  /** Stores another password, sealed, and answers it; null when the tenant has none yet. */
  readonly changePassword: (sql: SqlSession, tenantId: string) => Promise<string | null>;
}

/**
 * The function that gives a tenant's `…_app` login another password and ends its sessions: what was logged in with the
 * old one logs in again, or cannot. Whether the role may log in stays as it is.
 * @throws (the function) {NotFoundError} for an id that never was
 * @throws (the function) {InvalidStateError} when the tenant has no login yet, or the role is somebody else's
 */
export function createPasswordRotation(options: PasswordRotationOptions) {
  const { registryId, transaction, changePassword } = options;
  return async (tenantId: string): Promise<void> => {
    const { app, owner } = tenantNames(tenantId);
    await transaction(async (sql) => {
      // Steps of an operation that bring the role to the stored password wait for this, or this for them.
      const [tenant] = await sql.query('SELECT id FROM tenants WHERE id = $1 FOR UPDATE', [tenantId]);
      if (tenant === undefined) throw new NotFoundError('tenant');
      const [role] = await sql.query(
        `SELECT shobj_description(oid, 'pg_authid') AS mark FROM pg_roles WHERE rolname = $1`,
        [app],
      );
      const password = await changePassword(sql, tenantId);
      if (password === null || role === undefined)
        throw new InvalidStateError('The tenant has no login yet; wait until it is provisioned.');
      if (role.mark !== ownershipMark(registryId, tenantId))
        throw new InvalidStateError(`The role ${app} is not this registry's; see what made it.`);
      const { before, after } = asRoleAdmin(await roleAdminOf(sql, registryId, owner));
      await sql.query(`${before}ALTER ROLE ${app} PASSWORD '${await scramVerifier(password)}'${after}`);
    });
    // Behind the commit: whoever logs in from now on needs the new one.
    await transaction((sql) =>
      sql.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1', [app]),
    );
  };
}
