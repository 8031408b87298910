import { describe, expect, test } from 'vitest';
import { configOf, refusal, type Variables } from './invoke.ts';

describe('pooler', () => {
  test.each<[readonly string[], Variables, object | null]>([
    [[], {}, null],
    [['--db-host=localhost'], {}, null],
    [
      ['--pooler-host=pooler.example.com', '--db-sslmode=require'],
      {},
      { host: 'pooler.example.com', port: 6432 },
    ],
    [['--pooler-host=[::1]', '--pooler-port=6433'], {}, { host: '::1', port: 6433 }],
    [['--pooler-port=6433'], {}, { host: '127.0.0.1', port: 6433 }],
    [['--pooler-port=6433', '--db-host=localhost'], {}, { host: 'localhost', port: 6433 }],
    [['--pooler-port=6433'], { DATABASE_URL: 'postgres://[::1]/d' }, { host: '::1', port: 6433 }],
    [['--pooler-host=p', '--db-port=6432', '--db-sslmode=require'], {}, { host: 'p', port: 6432 }],
    [[], { TMS_POOLER_PORT: '6433' }, { host: '127.0.0.1', port: 6433 }],
  ])('%j with %j is %j', (argv, env, pooler) => {
    expect(configOf(argv, env).pooler).toEqual(pooler);
  });

  test.each<[readonly string[], string]>([
    [['--db-host=localhost', '--pooler-port=5432'], 'localhost:5432'],
    [['--db-host=127.0.0.1', '--db-port=6432', '--pooler-host=localhost'], '127.0.0.1:6432'],
  ])('%j is the database itself, and refused', (argv, place) => {
    expect(refusal(argv)).toBe(
      `--pooler-host, --pooler-port take a pooler in front of the database, not the database itself at ${place}`,
    );
  });
});
