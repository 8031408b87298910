import type { SharedSession, SqlSession } from '../core/ports.ts';
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

/** What makes the contexts that steps work with. */
export interface StepContexts {
  target(tenantId: string): StepTarget;
  /** For one transaction; what is noted goes into `notes`. */
  inTransaction(tenantId: string, sql: SharedSession, notes: string[]): StepContext;
}

export function createStepContexts({
  registryId,
  migrations,
  password,
  login,
}: StepContextOptions): StepContexts {
  const target = (tenantId: string): StepTarget => ({
    registryId,
    tenantId,
    names: tenantNames(tenantId),
    mark: ownershipMark(registryId, tenantId),
    migrations,
  });
  return {
    target,
    inTransaction(tenantId, sql, notes) {
      const of = target(tenantId);
      const ownPassword = () => password(sql, tenantId);
      return {
        ...of,
        sql,
        note: (message) => void notes.push(message),
        password: ownPassword,
        login: async (work) => login(of.names.app, await ownPassword(), work),
      };
    },
  };
}
