import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { type Config, ConfigError, type Invocation, readInvocation } from '../../src/config.ts';

/** A directory of the test file's own, gone at its end. */
export let directory = '';
export const sql = () => join(directory, 'tenant-sql');

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tms-config-'));
  mkdirSync(sql());
});
afterAll(() => rmSync(directory, { recursive: true }));

export type Variables = Readonly<Record<string, string>>;

export function invoke(argv: readonly string[], env: Variables = {}): Invocation {
  return readInvocation(argv, { TMS_TENANT_MIGRATIONS: sql(), TMS_TLS_CERT: 'none', ...env });
}

export function served(argv: readonly string[], env: Variables = {}): Extract<Invocation, { kind: 'serve' }> {
  const invocation = invoke(argv, env);
  if (invocation.kind !== 'serve') throw new Error(`got ${invocation.kind}`);
  return invocation;
}

export const configOf = (argv: readonly string[], env: Variables = {}): Config => served(argv, env).config;

/** The one line of a refusal. */
export function refusal(argv: readonly string[], env: Variables = {}): string {
  try {
    invoke(argv, env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.message).toMatch(/^[^\p{Cc}\u2028\u2029]+$/u);
    return error.message;
  }
  throw new Error(`accepted: ${argv.join(' ')}`);
}

export const secret = 'marker-0123456789-0123456789-012345';
export const key = Buffer.alloc(32, 7).toString('base64');
export const otherKey = Buffer.alloc(32, 9).toString('base64');
export const password = { TMS_DB_PASS: 'p' };
