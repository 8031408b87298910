import { createHash } from 'node:crypto';
import fc from 'fast-check';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { scramVerifier } from '../../src/workers/scram.ts';
import { reasonOf } from '../../src/workers/step-reason.ts';

const because = (message: string) => reasonOf(new Error(message));
const tenant = 'tenant_0123456789abcdef0123456789abcdef';

describe('whatever stands around it, the reason does not hold', () => {
  /** Thirty-two bytes that look random, the same in every run. */
  const key = fc.nat().map((seed) => createHash('sha256').update(`${seed}`).digest());
  const keyText = fc
    .tuple(key, fc.constantFrom('hex', 'base64', 'base64url'))
    .map(([bytes, encoding]) => bytes.toString(encoding as BufferEncoding));
  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
  const word = fc.stringMatching(/^[a-zA-Z0-9_!?$%&*+-]{8,20}$/);
  const port = fc.integer({ min: 1, max: 65535 });
  const withPort = (host: fc.Arbitrary<string>) =>
    fc.oneof(
      host,
      fc.tuple(host, port).map(([name, number]) => `${name}:${number}`),
    );
  const hostName = fc
    .tuple(label, label, label, fc.constantFrom('com', 'internal', 'xyz'))
    .map((labels) => labels.join('.'));

  const secrets = {
    'an e-mail address': fc.emailAddress(),
    'an IPv4 address': withPort(fc.ipV4()),
    'an IPv6 address': fc.oneof(
      fc.ipV6(),
      fc.ipV6().map((address) => `fe80::${address.replaceAll(/[:.]+/g, '').slice(0, 4)}%eth0`),
      fc.tuple(fc.ipV6(), port).map(([address, number]) => `[${address}]:${number}`),
    ),
    'the name of a host': withPort(hostName),
    'a socket': label.map((name) => `/var/run/${name}/.s.PGSQL.5432`),
    'a URL': fc
      .tuple(fc.constantFrom('postgres', 'rediss', 'https'), word, word, label)
      .map(
        ([scheme, user, password, host]) =>
          `${scheme}://${user}:${password}@${host}/database?sslmode=require`,
      ),
    'a URL without a user': fc
      .tuple(fc.constantFrom('postgresql', 'redis'), label)
      .map(([scheme, host]) => `${scheme}://${host}/0`),
    'a SCRAM verifier': fc.tuple(key, key, key).map(([salt, stored, server]) => {
      const [a, b, c] = [salt.subarray(16), stored, server].map((bytes) => bytes.toString('base64'));
      return `SCRAM-SHA-256$4096:${a}$${b}:${c}`;
    }),
    'a key': keyText,
    'a sealed value': fc
      .tuple(key, key)
      .map(
        ([nonce, text]) =>
          `v1:main:${nonce.toString('base64url').slice(0, 16)}:${text.toString('base64url')}`,
      ),
    'a token': fc
      .tuple(key, key)
      .map(
        ([claims, signature]) =>
          `eyJhbGciOiJIUzI1NiJ9.${claims.toString('base64url')}.${signature.toString('base64url')}`,
      ),
    'a private key': fc
      .tuple(keyText, keyText)
      .map((lines) => `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----`),
  } satisfies Record<string, fc.Arbitrary<string>>;

  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.constantFrom(
      ...[
        `password='`,
        'secret: ',
        'key="',
        '(token)=(',
        `host "`,
        'PASSWORD E',
        '/a/',
        '"/',
        '::',
        '1.2.',
        '9',
        'f',
        '@',
      ],
      ...[
        '://',
        'a.b.',
        '-----BEGIN',
        '-----END',
        'tenant_',
        `${tenant}_`,
        '[redacted]',
        '\n',
        '\0',
        '\u200b',
        'v1:',
        '$',
      ],
    ),
    // Up to where the text is cut.
    fc.integer({ min: 400, max: 2_100 }).map((length) => 'x '.repeat(length / 2)),
    fc.integer({ min: 400, max: 2_100 }).map((length) => 'x'.repeat(length)),
  );
  const around = fc.array(text, { maxLength: 4 }).map((parts) => parts.join(''));

  function expectHidden(message: string, secret: string): void {
    const reason = because(message);
    for (const line of secret.split('\n')) expect(reason).not.toContain(line);
    expect(reason).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,500}$/u);
    expect(reason.length).toBeLessThanOrEqual(500);
    expect(reason.isWellFormed()).toBe(true);
  }

  test.each(Object.entries(secrets))('%s', (_, arbitrary) => {
    fc.assert(
      fc.property(around, arbitrary, around, (before, secret, after) =>
        expectHidden(`${before}${secret}${after}`, secret),
      ),
      { numRuns: 1_000 },
    );
  });

  test('what is called a password or a host', () => {
    const name = fc.constantFrom(
      'password=',
      'PGPASSWORD=',
      'passwd: ',
      "PASSWORD '",
      'secret = ',
      '"token": "',
      'host=',
      'host name "',
      'server at "',
    );
    fc.assert(
      fc.property(around, name, word, around, (before, put, secret, after) =>
        expectHidden(`${before}${put}${secret}${after}`, secret),
      ),
      { numRuns: 1_000 },
    );
  });

  test('a short name of a host, between spaces or punctuation', () => {
    const short = withPort(fc.constantFrom('db.internal', 'example.com', 'pg.example', 'localhost'));
    const space = fc.constantFrom(' ', '"', "'", '(', ')', ', ', '/', '=', '');
    fc.assert(
      fc.property(space, short, space, (before, host, after) =>
        expectHidden(`cannot reach ${before}${host}${after} now`, host),
      ),
    );
  });
});

describe('stays as it is', () => {
  test.each([
    'division by zero',
    'tuple concurrently updated',
    'canceling statement due to lock timeout',
    'relation "projects" already exists',
    'relation "public.projects" does not exist',
    `relation "${tenant}.users" does not exist`,
    'column users.id does not exist',
    'column public.users.id does not exist',
    'null value in column "password" of relation "users" violates not-null constraint',
    'duplicate key value violates unique constraint "users_email_key"',
    'insert or update on table "projects" violates foreign key constraint "projects_owner_id_fkey"',
    'cannot drop table users because other objects depend on it',
    'operator does not exist: text / integer',
    'operator does not exist: jsonb @> text',
    'function gen_random_uuid(integer) does not exist',
    'unsafe use of new value "archived" of enum type status',
    'permission denied for schema public',
    `password authentication failed for user "${tenant}_app"`,
    '0002_projects.sql: syntax error at or near "TABEL"',
    '0002_projects.sql was changed after tenants got it; put it back as it was and add a new file',
    `the role ${tenant}_app exists and is not this registry's`,
    'the login of the tenant has rights on public.tenant_credentials; it must not',
    'operation 3f2504e0-4f89-41d3-9a0c-0305e82c3301 is held by somebody else now',
    'PostgreSQL 18.4 is not 18.4.1',
  ])('%s', (message) => {
    expect(because(message)).toBe(message);
  });
});

describe('of a longer message stays what is no address and no secret', () => {
  test.each([
    [
      'no pg_hba.conf entry for host "10.0.0.5", user "app", database "registry", no encryption',
      'no pg_hba.conf entry for host [redacted] user "app", database "registry", no encryption',
    ],
    [
      'the user owner@acme.example (from 10.1.2.3:4711) exists',
      'the user [redacted] (from [redacted]) exists',
    ],
    [
      'invalid input syntax for type uuid: "owner@acme.example"',
      'invalid input syntax for type uuid: "[redacted]"',
    ],
    [
      'cannot dial redis://:secret@cache:6379/0, nor [fe80::1]:6379',
      'cannot dial [redacted], nor [redacted]',
    ],
    ['host=db port=5432 user=app password=secret', 'host=[redacted] port=5432 user=app password=[redacted]'],
    ['could not open "/etc/ssl/root.pem": not allowed', 'could not open "[redacted]": not allowed'],
    ['two lines\r\n\tare\0one', 'two lines are one'],
  ])('%s', (message, reason) => {
    expect(because(message)).toBe(reason);
  });

  test('a SCRAM verifier as PostgreSQL stores it', async () => {
    expect(because(`ALTER ROLE app PASSWORD '${await scramVerifier('pencil')}' failed`)).toBe(
      'ALTER ROLE app PASSWORD [redacted] failed',
    );
  });

  test('its beginning, when it is too long', () => {
    expect(because('word '.repeat(1_000))).toBe(`${'word '.repeat(99)}word…`);
    expect(because(`${'😀'.repeat(400)}`)).toBe(`${'😀'.repeat(249)}…`);
  });
});

describe('a database that cannot be reached is told in our own words', () => {
  const unreachable = 'the database could not be reached';
  const failureOf = (settings: pg.ClientConfig) =>
    new pg.Client(settings).connect().then(
      () => 'no failure',
      (error: unknown) => error,
    );

  test('when nobody listens, by address, by name or on a socket', async () => {
    for (const host of ['127.0.0.1', 'localhost', '/nowhere', 'nowhere.invalid']) {
      const error = await failureOf({ host, port: 1 });
      expect(error).toBeInstanceOf(Error);
      expect(reasonOf(error), host).toBe(unreachable);
    }
  });

  test.each([
    'Connection terminated unexpectedly',
    'timeout exceeded when trying to connect',
    'Client has encountered a connection error and is not queryable',
  ])('when the driver says: %s', (message) => {
    expect(because(message)).toBe(unreachable);
  });

  test('when its certificate is another one’s', () => {
    const code = 'ERR_TLS_CERT_ALTNAME_INVALID';
    const message = `Hostname/IP does not match certificate's altnames: Host: db is not cert's CN: other`;
    expect(reasonOf(Object.assign(new Error(message), { code }))).toBe(unreachable);
  });

  test('behind the name of a file, but not in the place of a better reason', () => {
    const cause = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    const named = new Error(`0001_first.sql: ${cause.message}`, { cause });
    expect(reasonOf(named)).toBe(`0001_first.sql: ${unreachable}`);
    const late = new Error('the step took longer than 60 seconds', { cause });
    expect(reasonOf(late)).toBe('the step took longer than 60 seconds');
    cause.message = '';
    expect(reasonOf(late)).toBe('the step took longer than 60 seconds');
    expect(reasonOf(cause)).toBe(unreachable);
  });
});

test('an error that says nothing is told by its cause, or as such', () => {
  expect(reasonOf(new Error('', { cause: new Error('the cause') }))).toBe('the cause');
  for (const error of [new Error(), new Error(' \n'), undefined, null, 7, {}, Object.create(null)]) {
    expect(reasonOf(error)).toBe('the step failed without saying why');
  }
  expect(reasonOf('thrown as text')).toBe('thrown as text');
});
