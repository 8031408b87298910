import type { SqlSession } from '../core/ports.ts';

/**
 * Runs `work` as the tenant's owner and returns to the service's role. The service takes the membership only inside
 * this transaction: memberships that are kept make every later permission check slower.
 */
export async function asOwner(sql: SqlSession, owner: string, work: () => Promise<void>): Promise<void> {
  await sql.query(`GRANT ${owner} TO CURRENT_USER`);
  await sql.query(`SET LOCAL ROLE ${owner}`);
  await work();
  await sql.query('RESET ROLE');
  await sql.query(`REVOKE ${owner} FROM CURRENT_USER`);
}
