import type pg from 'pg';

/** Idempotency keys live for 24 hours; the registry forgets those whose time is over. */
export async function expireIdempotencyKeys(client: pg.ClientBase): Promise<void> {
  await client.query('DELETE FROM idempotency_keys WHERE expires_at <= now()');
}
