import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { createDirectory } from '../support/process.ts';
import { connect, type Session } from '../workers/worker-app.ts';
import { expectSound, projectMigrations } from './expect-sound.ts';
import { createFaultBed, type FaultBed } from './fault-bed.ts';
import { accepted } from './scenarios.ts';

const tenants = 3;
const index =
  '-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS users_name_idx ON users (display_name);\n';

test('kill -9 of the worker, twice, in the middle of a file that runs outside of a transaction leaves nothing half done', async () => {
  await using directory = await createDirectory();
  await cp(projectMigrations, directory.path, { recursive: true });
  await writeFile(join(directory.path, '0003_index.sql'), index);
  await using bed = await createFaultBed(directory.path);
  const ids = await accepted(bed, 'PROVISION', tenants);
  await using holder = await connect(bed.app.administrator);
  // An index is not ready before everybody is gone who was there when it was not yet.
  await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await holder.query('SELECT FROM tenants');
  const orphans = await killedWhileIndexing(bed, []);
  await killedWhileIndexing(bed, orphans);
  await holder.query('ROLLBACK');
  await using _worker = await bed.startWorker(4);
  const ends = new Map([...ids, bed.bystander].map((id) => [id, 'ACTIVE' as const]));
  await expectSound(bed.administrator, ends, 60_000, directory.path);
  const indexes = await bed.administrator.query(`SELECT FROM pg_class WHERE relname = 'users_name_idx'`);
  expect(indexes).toHaveLength(ends.size);
});

/** Kills a worker when it makes an index for every tenant. @returns its sessions, which work on */
async function killedWhileIndexing(bed: FaultBed, earlier: readonly unknown[]): Promise<unknown[]> {
  await using worker = await bed.startWorker(tenants);
  const sessions = await eventually(async () => {
    const found = (await indexing(bed.administrator)).filter((pid) => !earlier.includes(pid));
    return found.length === tenants && found;
  }, 40_000);
  worker.signal('SIGKILL');
  await worker.end;
  return sessions;
}

async function indexing(administrator: Session): Promise<unknown[]> {
  const rows = await administrator.query(
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'virtualxid'`,
  );
  return rows.map(({ pid }) => pid);
}
