import type pg from 'pg';
import { type SealedColumn, sealedColumns } from './sealed-values.ts';

/** What is sealed under one key. */
export interface KeyUsage {
  readonly keyId: string;
  /** In the order of the columns; those with nothing are left out. */
  readonly values: readonly { readonly column: SealedColumn; readonly count: number }[];
  readonly indexKey: boolean;
}

const sql = [
  ...sealedColumns.map(
    ({ table, column }, place) =>
      `SELECT split_part(${column}, ':', 2) AS "keyId", ${place} AS place, count(*)::int AS count FROM ${table} GROUP BY 1`,
  ),
  `SELECT split_part(index_key, ':', 2), ${sealedColumns.length}, 1 FROM registry`,
].join(' UNION ALL ');

/** Under which keys the registry's values are at one moment; keys without any are left out. */
export async function readKeyUsage(pool: pg.Pool): Promise<readonly KeyUsage[]> {
  const { rows } = await pool.query<{ keyId: string; place: number; count: number }>(sql);
  return [...Map.groupBy(rows, ({ keyId }) => keyId)].map(([keyId, uses]) => ({
    keyId,
    values: sealedColumns.flatMap((column, place) =>
      uses.filter((use) => use.place === place).map(({ count }) => ({ column, count })),
    ),
    indexKey: uses.some(({ place }) => place === sealedColumns.length),
  }));
}
