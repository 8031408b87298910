import pg from 'pg';
import type { SqlSession } from '../core/ports.ts';
import type { KeyRing } from '../db/key-ring.ts';
import { replacePassword } from '../db/tenant-credentials.ts';
import type { TenantServer } from '../pools/tenant-session.ts';
import { asOwner, asRoleAdmin, roleAdminOf } from '../workers/role-admin.ts';
import { fewestIterations, scramVerifier } from '../workers/scram.ts';
import { databaseMark, type Finding, type Repair, verifierMark } from './finding.ts';

/** Whose things are mended. */
export interface Patient {
  /** A role that its administrator is found by. */
  readonly role: string;
  /** Null: no tenant that has a password. */
  readonly tenantId: string | null;
}

export interface RepairOptions {
  readonly registryId: string;
  readonly keyRing: KeyRing;
  readonly server: Pick<TenantServer, 'database'>;
}

export interface RepairOutcome {
  readonly done: readonly Repair[];
  /** Why PostgreSQL refused to have something mended, by what was found. */
  readonly refusals: ReadonlyMap<string, string>;
}

export const nothingDone: RepairOutcome = { done: [], refusals: new Map() };

/** Mends in the caller's transaction what can be mended, one after the other; what PostgreSQL refuses is taken back alone. */
export async function repairAll(
  sql: SqlSession,
  options: RepairOptions,
  patient: Patient,
  findings: readonly Finding[],
): Promise<RepairOutcome> {
  const done: Repair[] = [];
  const refusals = new Map<string, string>();
  for (const { what, remedy } of findings) {
    if (typeof remedy === 'string') continue;
    await sql.query('SAVEPOINT repair');
    try {
      await sql.query(await statementsOf(sql, options, patient, remedy));
      await sql.query('RELEASE SAVEPOINT repair');
      done.push(remedy);
    } catch (error) {
      await sql.query('ROLLBACK TO SAVEPOINT repair');
      if (!(error instanceof pg.DatabaseError)) throw error;
      refusals.set(what, error.message);
    }
  }
  return { done, refusals };
}

async function statementsOf(
  sql: SqlSession,
  { registryId, keyRing, server }: RepairOptions,
  { role, tenantId }: Patient,
  repair: Repair,
): Promise<string> {
  const verifier =
    tenantId !== null && repair.sql.includes(verifierMark)
      ? await scramVerifier(await replacePassword(sql, keyRing, tenantId), fewestIterations)
      : '';
  const statements = repair.sql
    .replaceAll(verifierMark, () => verifier)
    .replaceAll(databaseMark, () => pg.escapeIdentifier(server.database));
  if (repair.as === 'service') return statements;
  const admin = await roleAdminOf(sql, registryId, role);
  const { before, after } = repair.as === 'owner' ? asOwner(role, admin) : asRoleAdmin(admin);
  return `${before}${statements}${after}`;
}
