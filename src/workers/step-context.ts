import type { SqlSession } from '../core/ports.ts';
import type { StepContext } from './step.ts';
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

/** The function that makes what a step works with, for one tenant and one transaction. */
export function createStepContexts({ registryId, migrations, password, login }: StepContextOptions) {
  return (tenantId: string, sql: SqlSession): StepContext => {
    const names = tenantNames(tenantId);
    const ownPassword = () => password(sql, tenantId);
    return {
      sql,
      tenantId,
      names,
      mark: ownershipMark(registryId, tenantId),
      migrations,
      password: ownPassword,
      login: async (work) => login(names.app, await ownPassword(), work),
    };
  };
}
