import { tenantNames } from '../src/workers/tenant-names.ts';
import type { Contender } from './pool-contenders.ts';
import { median, percentile } from './statistics.ts';

export const loads = ['roundRobin', 'noisy', 'few'] as const;
/**
 * Whose turn it is: all tenants one after the other; one tenant every second time and the others one after the other; as
 * many tenants as there are connections, one after the other.
 */
export type LoadName = (typeof loads)[number];

export interface LoadOptions {
  readonly contender: Contender;
  readonly load: LoadName;
  readonly tenantIds: readonly string[];
  /** Connections there are. */
  readonly budget: number;
  /** How many ask at once, each again as soon as it was served. */
  readonly callers: number;
  /** Of which the first does not count. */
  readonly seconds: number;
}

/** What was measured; waits are milliseconds from asking to having a connection of the tenant. */
export interface Measured {
  readonly perSecond: number;
  /** Of the tenants that take what is left by the noisy one; without one, of all. */
  readonly wait: Waits;
  /** Of the noisy tenant; null without one. */
  readonly noisyWait: Waits | null;
  /** What failed, by code or message. */
  readonly errors: Readonly<Record<string, number>>;
}

export interface Waits {
  readonly p50: number;
  readonly p99: number;
  /** The 99th percentile of the tenant for which it is the highest. */
  readonly worstTenant: number;
}

/** Each request is two statements, and looks whether it is where it should be. */
export async function runLoad(options: LoadOptions): Promise<Measured> {
  const { contender, load, tenantIds, budget, callers, seconds } = options;
  const start = performance.now();
  const from = start + 1_000;
  const until = start + seconds * 1_000;
  const waits = new Map<string, number[]>();
  const errors: Record<string, number> = {};
  let done = 0;
  let number = 0;

  async function request(): Promise<void> {
    const id = tenantIds[indexOf(load, number++, tenantIds.length, budget)] ?? '';
    const asked = performance.now();
    try {
      await contender.withTenant(id, async (query) => {
        const wait = performance.now() - asked;
        const [found] = await query('SELECT current_schema AS schema, count(*)::int AS roles FROM roles');
        if (found?.schema !== tenantNames(id).schema || found.roles !== 3)
          throw new Error('another tenant’s rows');
        await query('SELECT id, title FROM documents ORDER BY updated_at DESC LIMIT 10');
        if (performance.now() < from) return;
        done++;
        const before = waits.get(id);
        if (before === undefined) waits.set(id, [wait]);
        else before.push(wait);
      });
    } catch (error) {
      const code = error instanceof Error ? (Reflect.get(error, 'code') ?? error.message) : error;
      errors[String(code)] = (errors[String(code)] ?? 0) + 1;
    }
  }

  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < until) await request();
    }),
  );
  const [noisyId = ''] = tenantIds;
  const noisy = load === 'noisy' ? waits.get(noisyId) : undefined;
  if (noisy !== undefined) waits.delete(noisyId);
  return {
    perSecond: done / ((performance.now() - from) / 1_000),
    wait: summary([...waits.values()]),
    noisyWait: noisy === undefined ? null : summary([noisy]),
    errors,
  };
}

function indexOf(load: LoadName, number: number, tenants: number, budget: number): number {
  if (load === 'few') return number % budget;
  if (load === 'roundRobin') return number % tenants;
  return number % 2 === 0 ? 0 : 1 + (((number - 1) / 2) % (tenants - 1));
}

function summary(byTenant: readonly (readonly number[])[]): Waits {
  const all = byTenant.flat();
  return {
    p50: median(all),
    p99: percentile(all, 0.99),
    worstTenant: Math.max(...byTenant.map((waits) => percentile(waits, 0.99))),
  };
}
