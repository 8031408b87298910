import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { flags } from '../../src/config/flags.ts';
import { ConfigError } from '../../src/config.ts';
import { invoke, key, secret, type Variables } from './invoke.ts';

describe('whatever is thrown at it', () => {
  const names = Object.values(flags).map((flag) => flag.name);
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.webUrl(),
    fc.constantFrom('1', 'true', 'localhost', 'redis://localhost', 'a,b', secret, `a:${key}`, '/'),
  );
  const argument = fc.oneof(
    fc.constantFrom(...names.map((name) => `--${name}`)),
    fc.tuple(fc.constantFrom(...names), text).map(([name, value]) => `--${name}=${value}`),
    text,
  );
  const variable = fc.oneof(
    fc.constantFrom(
      'DATABASE_URL',
      'REDIS_URL',
      'NODE_ENV',
      'TMS_AUTH_SECRET_FILE',
      'TMS_DB_PASS',
      'TMS_ROLE',
    ),
    fc.string().map((name) => `TMS_${name}`),
  );

  test('the outcome is an invocation or one line', () => {
    fc.assert(
      fc.property(fc.array(argument, { maxLength: 4 }), fc.dictionary(variable, text), (argv, env) => {
        try {
          invoke(argv, env);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          expect(String(error)).toMatch(/^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+$/u);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('no message holds a secret', () => {
    const hidden = fc
      .tuple(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }))
      .map(([before, after]) => `${before}${secret}${after}`);
    const place = fc.constantFrom(
      (value: string) => [[`--db-pass=${value}\0`], {}] as const,
      (value: string) => [['--auth-secret', value, '--no-auth'], {}] as const,
      (value: string) => [['--auth-secret', 'short', value.replace(/^-+/, '')], {}] as const,
      (value: string) => [[`--auth-secrt=${value}`], {}] as const,
      (value: string) => [['--encryption-keys', value], {}] as const,
      (value: string) => [['--redis-url', `redis://:${value}@localhost`], {}] as const,
      (value: string) => [[], { REDIS_URL: value }] as const,
      (value: string) => [[], { DATABASE_URL: `postgres://u:${value}@localhost/d` }] as const,
      (value: string) => [[], { DATABASE_URL: value }] as const,
    );
    fc.assert(
      fc.property(place, hidden, (put, value) => {
        const [argv, env] = put(value);
        try {
          invoke([...argv], env);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          expect(String(error)).not.toContain('marker');
        }
      }),
      { numRuns: 500 },
    );
  });

  test('a flag, its other form and its variable mean the same', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 65535 }),
        fc.constantFrom('port', 'http-port'),
        (number, name) => {
          const env = { [`TMS_${name.toUpperCase().replace('-', '_')}`]: `${number}` };
          const outcomes = [
            invokeSafely([`--${name}`, `${number}`]),
            invokeSafely([`--${name}=${number}`]),
            invokeSafely([], env),
          ];
          expect(outcomes[1]).toEqual(outcomes[0]);
          expect(outcomes[2]).toEqual(outcomes[0]);
        },
      ),
    );
  });

  function invokeSafely(argv: readonly string[], env: Variables = {}): unknown {
    try {
      return invoke(argv, env);
    } catch (error) {
      return String(error);
    }
  }
});
