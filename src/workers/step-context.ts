import type { SharedSession, SqlSession, TakenOperation } from '../core/ports.ts';
import { createRoleAdmins, type RoleAdmin, roleAdminOf } from './role-admin.ts';
import type { StepContext, StepTarget } from './step.ts';
import type { TenantMigrations } from './tenant-migrations.ts';
import { ownershipMark, tenantNames } from './tenant-names.ts';

export interface StepContextOptions {
  readonly registryId: string;
  readonly migrations: TenantMigrations;
  /** The stored password of a tenant's login. */
  readonly password: (sql: SqlSession, tenantId: string) => Promise<string>;
  /** Runs `work` in a new session that is logged in as `role`. */
  readonly login: (
    role: string,
    password: string,
    work: (session: SqlSession) => Promise<void>,
  ) => Promise<void>;
}

/** What makes the contexts that the steps of one run work with. */
export interface StepContexts {
  readonly target: StepTarget;
  /** For one transaction; what is noted goes into `notes`. */
  inTransaction(sql: SharedSession, notes: string[]): StepContext;
}

/** The function that makes the contexts for a runner of an operation, who ends at the first transaction that fails. */
export function createStepContexts({ registryId, migrations, password, login }: StepContextOptions) {
  const roleAdmins = createRoleAdmins(registryId);
  return ({
    operation: { tenantId },
    tenantStatus,
    schemaVersion,
  }: Pick<TakenOperation, 'tenantStatus' | 'schemaVersion'> & {
    readonly operation: Pick<TakenOperation['operation'], 'tenantId'>;
  }): StepContexts => {
    const target: StepTarget = {
      registryId,
      tenantId,
      names: tenantNames(tenantId),
      mark: ownershipMark(registryId, tenantId),
      migrations,
      tenantStatus,
      schemaVersion,
    };
    let known: Promise<string> | undefined;
    let admin: RoleAdmin | undefined;
    return {
      target,
      inTransaction(sql, notes) {
        const ownPassword = () => {
          known ??= password(sql, tenantId);
          return known;
        };
        let asked: Promise<RoleAdmin> | undefined;
        const ask = async () => {
          admin = await (admin === undefined
            ? roleAdminOf(sql, registryId, target.names.owner)
            : roleAdmins.again(sql, admin));
          return admin;
        };
        return {
          ...target,
          sql,
          roleAdmin() {
            asked ??= ask();
            return asked;
          },
          async chooseRoleAdmin() {
            admin = await roleAdmins.next(sql);
            return admin;
          },
          note: (message) => void notes.push(message),
          password: ownPassword,
          login: async (work) => login(target.names.app, await ownPassword(), work),
        };
      },
    };
  };
}
