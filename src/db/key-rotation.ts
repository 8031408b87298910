import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { SealedValueError } from '../core/errors.ts';
import { type EncryptionKey, type KeyRing, unwrapIndexKey, wrapIndexKey } from './key-ring.ts';
import { type SealedColumn, sealedColumns } from './sealed-values.ts';

export interface RotationOptions {
  readonly pool: pg.Pool;
  readonly registryId: string;
  /** All is brought under the first. */
  readonly keys: readonly [EncryptionKey, ...EncryptionKey[]];
  readonly keyRing: KeyRing;
}

/** What a rotation tells while it goes on. */
export type RotationNews =
  | { readonly kind: 'index key' }
  /** Of a column: what was re-encrypted, and what this pass has yet to look at. */
  | { readonly kind: 'progress'; readonly column: SealedColumn; readonly done: number; readonly left: number }
  /** A value that does not open stays as it is; told once. */
  | { readonly kind: 'unreadable'; readonly column: SealedColumn; readonly error: SealedValueError };

const batch = 500;
/** Passes after the first are for what was held or written meanwhile; somebody who goes on writing is not waited for. */
const passes = 20;
const pauseMs = 250;
/** Lower than every id. */
const lowest = '00000000-0000-0000-0000-000000000000';

/**
 * Brings everything that is sealed under the first key. Each ciphertext says under which key it is, and that is all the
 * state there is: whoever begins again, or runs beside, looks only at what is left.
 *
 * A value is exchanged only as long as it is the one that was opened, so no writer's is lost; rows that somebody holds
 * are left for the next pass, so nobody is waited for, and nobody waits for more than a batch.
 */
export async function* rotateKeys(options: RotationOptions): AsyncGenerator<RotationNews, void> {
  // First: a process that lacks the new key is then refused at its start, which says what it lacks.
  if (await rewrapIndexKey(options)) yield { kind: 'index key' };
  for (const column of sealedColumns) yield* rotateColumn(options, column);
}

async function rewrapIndexKey({ pool, keys, registryId }: RotationOptions): Promise<boolean> {
  const { rows } = await pool.query<{ wrapped: string }>(
    'SELECT index_key AS wrapped FROM registry WHERE NOT starts_with(index_key, $1)',
    [prefixOf(keys[0])],
  );
  const [row] = rows;
  if (row === undefined) return false;
  const wrapped = wrapIndexKey(keys, unwrapIndexKey(keys, row.wrapped, registryId), registryId);
  const { rowCount } = await pool.query('UPDATE registry SET index_key = $1 WHERE index_key = $2', [
    wrapped,
    row.wrapped,
  ]);
  return rowCount === 1;
}

async function* rotateColumn(
  options: RotationOptions,
  column: SealedColumn,
): AsyncGenerator<RotationNews, void> {
  const prefix = prefixOf(options.keys[0]);
  const { pool } = options;
  const sql = statementsFor(column);
  const told = new Set<string>();
  let done = 0;
  for (let pass = 1; pass <= passes; pass++) {
    const { rows: counted } = await pool.query<{ left: number }>(sql.count, [prefix]);
    let left = counted[0]?.left ?? 0;
    if (pass === 1) yield { kind: 'progress', column, done, left };
    let [moved, missed] = [0, 0];
    for (let after = lowest; ; ) {
      const { rows } = await pool.query<SealedRow>(sql.page, [after, prefix, batch]);
      const last = rows.at(-1);
      if (last === undefined) break;
      const fresh: FreshRow[] = [];
      for (const row of rows) {
        const resealed = reseal(options.keyRing, column, row);
        if (typeof resealed === 'string') fresh.push({ ...row, resealed });
        else if (!told.has(row.id)) {
          told.add(row.id);
          yield { kind: 'unreadable', column, error: resealed };
        }
      }
      const exchanged = await exchange(pool, sql.exchange, fresh);
      moved += exchanged;
      missed += fresh.length - exchanged;
      done += exchanged;
      left = Math.max(0, left - rows.length);
      if (fresh.length > 0) yield { kind: 'progress', column, done, left };
      after = last.id;
    }
    if (moved + missed === 0) return;
    if (missed > 0) await pause(pauseMs);
  }
}

interface SealedRow {
  readonly id: string;
  readonly sealed: string;
}

interface FreshRow extends SealedRow {
  readonly resealed: string;
}

function reseal(
  keyRing: KeyRing,
  { field }: SealedColumn,
  { id, sealed }: SealedRow,
): string | SealedValueError {
  const context = { tenantId: id, field };
  try {
    return keyRing.seal(keyRing.open(sealed, context), context);
  } catch (error) {
    if (error instanceof SealedValueError) return error;
    throw error;
  }
}

/** @returns how many were what they had been, and nobody's at the moment */
async function exchange(pool: pg.Pool, sql: string, rows: readonly FreshRow[]): Promise<number> {
  if (rows.length === 0) return 0;
  const { rowCount } = await pool.query(sql, [
    rows.map(({ id }) => id),
    rows.map(({ sealed }) => sealed),
    rows.map(({ resealed }) => resealed),
  ]);
  return rowCount ?? 0;
}

function statementsFor({ table, tenantId, column }: SealedColumn) {
  const left = (parameter: string) => `NOT starts_with(${column}, ${parameter})`;
  return {
    count: `SELECT count(*)::int AS left FROM ${table} WHERE ${left('$1')}`,
    page: `
      SELECT ${tenantId} AS id, ${column} AS sealed FROM ${table}
      WHERE ${tenantId} > $1 AND ${left('$2')} ORDER BY ${tenantId} LIMIT $3`,
    exchange: `
      WITH fresh AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS row (id, sealed, resealed)),
      held AS (
        SELECT fresh.id FROM ${table} AS t JOIN fresh ON fresh.id = t.${tenantId}
        WHERE t.${column} = fresh.sealed ORDER BY fresh.id FOR NO KEY UPDATE OF t SKIP LOCKED
      )
      UPDATE ${table} AS t SET ${column} = fresh.resealed FROM held JOIN fresh USING (id)
      WHERE t.${tenantId} = fresh.id AND t.${column} = fresh.sealed`,
  };
}

/** What every value that is sealed under a key begins with. An id may hold what LIKE takes for a wildcard. */
function prefixOf({ id }: EncryptionKey): string {
  return `v1:${id}:`;
}
