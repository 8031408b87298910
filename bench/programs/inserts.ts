import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import type { CreateRecording } from '../create-recording.ts';

export interface InsertTask {
  readonly database: DatabaseSettings;
  readonly connections: number;
  readonly recording: CreateRecording;
}

const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** What a create does in PostgreSQL, by `pg` alone: the recorded statements, prepared, in one transaction. */
export function createInserts({ database, connections, recording }: InsertTask) {
  const pool = new pg.Pool({ ...database, max: connections });
  const statements = recording.statements.map(({ sql, parameters }, index) => ({
    name: `create_${index}`,
    text: sql,
    parameters,
  }));

  /** The recorded values with ids of their own, and that subdomain. */
  function valuesFor(subdomain: string) {
    const ids = new Map<string, string>();
    const renewed = (id: string) => {
      const other = ids.get(id) ?? randomUUID();
      ids.set(id, other);
      return other;
    };
    return (value: string | null) =>
      value === recording.subdomain ? subdomain : (value?.replace(uuid, renewed) ?? null);
  }

  /** @returns the rows that the last statement answered */
  return async (subdomain: string): Promise<readonly Record<string, unknown>[]> => {
    const values = valuesFor(subdomain);
    const client = await pool.connect();
    try {
      // One statement is a transaction.
      if (statements.length > 1) await client.query('BEGIN');
      let rows: readonly Record<string, unknown>[] = [];
      for (const { name, text, parameters } of statements) {
        rows = (await client.query<Record<string, unknown>>({ name, text, values: parameters.map(values) }))
          .rows;
      }
      if (statements.length > 1) await client.query('COMMIT');
      return rows;
    } finally {
      client.release();
    }
  };
}
