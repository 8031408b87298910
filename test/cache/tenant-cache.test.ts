import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withCancellation } from '../../src/core/cancellation.ts';
import { eventually } from '../support/eventually.ts';
import { type CacheBed, type CacheProcess, openCacheBed } from './cache-bed.ts';

// Without Redis: the process's own memory.

let bed: CacheBed;
let process: CacheProcess;

beforeAll(async () => {
  bed = await openCacheBed();
  process = await bed.process();
});
afterAll(() => bed[Symbol.asyncDispose]());

/** How often PostgreSQL is asked meanwhile. */
async function reads(work: () => unknown): Promise<number> {
  const before = process.reads();
  await work();
  return process.reads() - before;
}

describe('a tenant', () => {
  test('that is asked for a thousand times at once is read once', async () => {
    const { id } = await bed.insert();
    const found: unknown[] = [];
    const asking = async () => {
      found.push(...(await Promise.all(Array.from({ length: 1_000 }, () => process.cache.find(id)))));
    };
    expect(await reads(asking)).toBe(1);
    const [first, ...others] = found;
    expect(first).toMatchObject({ id, name: 'First' });
    expect(others.every((other) => other === first)).toBe(true);
    expect(process.answers.filter((answer) => answer === 'memory miss').length).toBeGreaterThanOrEqual(1_000);
  });

  test('that is remembered is answered at once, by the same object, which nobody can change', async () => {
    const { id } = await bed.insert();
    const read = await process.cache.find(id);
    const again = process.cache.find(id);
    expect(again).toBe(read);
    expect(process.answers.at(-1)).toBe('memory hit');
    expect(Object.isFrozen(again)).toBe(true);
  });

  test('carries nothing of its contact', async () => {
    const tenant = await bed.insert();
    expect(Object.keys(Object(await process.cache.find(tenant.id))).sort()).toEqual(
      [
        ...['createdAt', 'deletedAt', 'id', 'name', 'operationId', 'schemaVersion', 'status', 'subdomain'],
        ...['tier', 'updatedAt', 'version'],
      ].sort(),
    );
  });

  test('that changes without a word is up to date within two seconds', async () => {
    const { id } = await bed.insert();
    await process.cache.find(id);
    await bed.commit(id, 'Second');
    expect(process.cache.find(id)).toMatchObject({ name: 'First' });
    await eventually(async () => (await process.cache.find(id))?.name === 'Second', 2_500);
  });

  test('that is deleted is remembered as deleted', async () => {
    const { id, subdomain } = await bed.insert();
    await bed.pool.query('UPDATE tenants SET deleted_at = now() WHERE id = $1', [id]);
    expect(await process.cache.find(id)).toMatchObject({ deletedAt: expect.any(Date) });
    expect(await reads(() => process.cache.find(id))).toBe(0);
    expect(await process.cache.findBySubdomain(subdomain)).toBeNull();
  });

  test('whose read fails is read again by the next who asks', async () => {
    const { id } = await bed.insert();
    await bed.pool.query('ALTER TABLE tenants RENAME TO away');
    await expect(process.cache.find(id)).rejects.toThrow('does not exist');
    await bed.pool.query('ALTER TABLE away RENAME TO tenants');
    expect(await process.cache.find(id)).toMatchObject({ id });
  });
});

describe('who asks', () => {
  test('and leaves does not take the read away from those who wait with him', async () => {
    const { id } = await bed.insert();
    const held = process.holdNext();
    const leaving = new AbortController();
    const first = withCancellation(leaving.signal, () => process.cache.find(id));
    const second = process.cache.find(id);
    await held.read;
    leaving.abort(new Error('gone'));
    held.release();
    expect(await Promise.all([first, second])).toMatchObject([{ id }, { id }]);
  });

  test('after a change is not answered with what was read before it', async () => {
    const { id } = await bed.insert();
    const held = process.holdNext();
    const before = process.cache.find(id);
    await held.read;
    process.cache.outdate(id, null);
    process.cache.outdate(id, await bed.commit(id, 'Second'));
    expect(await process.cache.find(id)).toMatchObject({ name: 'Second' });
    held.release();
    expect(await before).toMatchObject({ name: 'First' });
    expect(process.cache.find(id)).toMatchObject({ name: 'Second' });
  });

  test('while a change is being committed is answered with what is there, and it is not remembered', async () => {
    const { id } = await bed.insert();
    process.cache.outdate(id, null);
    expect(await reads(() => process.cache.find(id))).toBe(1);
    expect(await reads(() => process.cache.find(id))).toBe(1);
    process.cache.outdate(id, await bed.commit(id, 'Second'));
    expect(await reads(() => process.cache.find(id))).toBe(1);
    expect(await reads(() => process.cache.find(id))).toBe(0);
  });
});

describe('an unknown id', () => {
  test('is remembered, for about a second', async () => {
    const id = randomUUID();
    expect(await process.cache.find(id)).toBeNull();
    expect(process.cache.find(id)).toBeNull();
    const { name } = await bed.insert();
    await bed.pool.query(
      `INSERT INTO tenants (id, name, subdomain, contact_email, contact_email_index)
       SELECT $1::uuid, $2, 'n-' || left($1::text, 13), contact_email, contact_email_index FROM tenants LIMIT 1`,
      [id, name],
    );
    expect(process.cache.find(id)).toBeNull();
    await eventually(async () => (await process.cache.find(id)) !== null, 2_000);
  });

  test('is asked for again once it is told of', async () => {
    const id = randomUUID();
    expect(await process.cache.find(id)).toBeNull();
    process.cache.outdate(id, 1);
    expect(await reads(() => process.cache.find(id))).toBe(1);
  });
});

describe('a subdomain', () => {
  test('is answered from memory, with the same object as the id', async () => {
    const { id, subdomain } = await bed.insert();
    const tenant = await process.cache.findBySubdomain(subdomain);
    expect(tenant).toMatchObject({ id });
    expect(process.cache.findBySubdomain(subdomain)).toBe(tenant);
    expect(process.cache.find(id)).toBe(tenant);
  });

  const askedAThousandTimes = (subdomain: string) => () =>
    Promise.all(Array.from({ length: 1_000 }, () => process.cache.findBySubdomain(subdomain)));

  test('that is asked for a thousand times at once is read once, also when it is nobody’s', async () => {
    const { subdomain } = await bed.insert();
    expect(await reads(askedAThousandTimes(subdomain))).toBe(1);
    const nobodys = `n-${randomUUID().slice(0, 13)}`;
    expect(await reads(askedAThousandTimes(nobodys))).toBe(1);
    expect(await reads(askedAThousandTimes(nobodys))).toBe(0);
  });

  test('that is nobody’s is remembered so for about a second, unless there is word of a change', async () => {
    const { id, subdomain } = await bed.insert();
    const taken = `${subdomain}-new`;
    expect(await process.cache.findBySubdomain(taken)).toBeNull();
    const sql = 'UPDATE tenants SET subdomain = $2 WHERE id = $1 RETURNING version';
    const { rows } = await bed.pool.query(sql, [id, taken]);
    expect(process.cache.findBySubdomain(taken)).toBeNull();
    await eventually(async () => (await process.cache.findBySubdomain(taken)) !== null, 2_000);

    const next = `${subdomain}-next`;
    expect(await process.cache.findBySubdomain(next)).toBeNull();
    await bed.pool.query(sql, [id, next]);
    process.cache.outdate(id, rows[0].version + 1);
    expect(await process.cache.findBySubdomain(next)).toMatchObject({ id });
  });

  test('that is taken while it is asked for is not joined to, and not remembered as nobody’s', async () => {
    const { id, subdomain } = await bed.insert();
    const taken = `${subdomain}-new`;
    const held = process.holdNext();
    const before = process.cache.findBySubdomain(taken);
    await held.read;
    const sql = 'UPDATE tenants SET subdomain = $2 WHERE id = $1 RETURNING version';
    const { rows } = await bed.pool.query(sql, [id, taken]);
    process.cache.outdate(id, rows[0].version);
    const after = process.cache.findBySubdomain(taken);
    held.release();
    expect(await before).toBeNull();
    expect(await after).toMatchObject({ id });
  });

  test('whose reader leaves is read on for those who wait with him', async () => {
    const { id, subdomain } = await bed.insert();
    const held = process.holdNext();
    const leaving = new AbortController();
    const first = withCancellation(leaving.signal, () => process.cache.findBySubdomain(subdomain));
    const second = process.cache.findBySubdomain(subdomain);
    await held.read;
    leaving.abort(new Error('gone'));
    held.release();
    expect(await Promise.all([first, second])).toMatchObject([{ id }, { id }]);
  });

  test('that has gone to another tenant answers with that one', async () => {
    const [one, two] = [await bed.insert(), await bed.insert()];
    await process.cache.find(one.id);
    const rename = async (id: string, subdomain: string) => {
      const { rows } = await bed.pool.query(
        'UPDATE tenants SET subdomain = $2 WHERE id = $1 RETURNING version',
        [id, subdomain],
      );
      process.cache.outdate(id, rows[0].version);
    };
    await rename(one.id, `${one.subdomain}-old`);
    expect(await process.cache.findBySubdomain(one.subdomain)).toBeNull();
    await rename(two.id, one.subdomain);
    expect(await process.cache.findBySubdomain(one.subdomain)).toMatchObject({ id: two.id });
    expect(await process.cache.findBySubdomain(two.subdomain)).toBeNull();
    expect(await process.cache.findBySubdomain(`${one.subdomain}-old`)).toMatchObject({ id: one.id });
  });
});
