import type { SharedSession, SqlSession, TakenOperation, WorkNews } from '../core/ports.ts';
import { againIfDenied, type RoleAdmin, roleAdminOf } from './role-admin.ts';
import type { RoleAdmins } from './role-admins.ts';
import type { StepContext, StepTarget } from './step.ts';
import type { TenantMigrations } from './tenant-migrations.ts';
import { ownershipMark, tenantNames } from './tenant-names.ts';

export interface StepContextOptions {
  readonly registryId: string;
  readonly migrations: TenantMigrations;
  readonly roleAdmins: RoleAdmins;
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
  inTransaction(sql: SharedSession, news: WorkNews): StepContext;
  /** Runs a transaction, and once more when it was denied to act as the administrator of the tenant's roles. */
  againIfDenied<T>(work: () => Promise<T>): Promise<T>;
}

/** The function that makes the contexts for a runner of an operation, who ends at the first transaction that fails for good. */
export function createStepContexts({
  registryId,
  migrations,
  roleAdmins,
  password,
  login,
}: StepContextOptions) {
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
    let stored: Promise<string> | undefined;
    let known: RoleAdmin | undefined;
    const remember = (admin: RoleAdmin) => {
      known = admin;
      return admin;
    };
    return {
      target,
      againIfDenied: (work) =>
        againIfDenied(registryId, work, () => {
          roleAdmins.denied();
          // The transaction was rolled back, and a password that it stored with it.
          [known, stored] = [undefined, undefined];
        }),
      inTransaction(sql, news) {
        const ownPassword = () => {
          stored ??= password(sql, tenantId);
          return stored;
        };
        let asked: Promise<RoleAdmin> | undefined;
        const ask = async () => {
          const admin =
            known === undefined
              ? roleAdminOf(sql, registryId, target.names.owner)
              : roleAdmins.again(sql, known);
          return remember(await admin);
        };
        return {
          ...target,
          ...news,
          sql,
          roleAdmin() {
            asked ??= ask();
            return asked;
          },
          chooseRoleAdmin: async () => remember(await roleAdmins.next(sql)),
          password: ownPassword,
          login: async (work) => login(target.names.app, await ownPassword(), work),
        };
      },
    };
  };
}
