import { expect, test } from 'vitest';
import { isUnavailable } from '../../src/db/errors.ts';
import { tlsRefusal } from '../../src/db/tls-refusal.ts';
import { startTestApp } from '../support/app.ts';

const failed = (code: string | undefined, message = 'refused') => Object.assign(new Error(message), { code });

test.each([
  [failed('SELF_SIGNED_CERT_IN_CHAIN'), '--db-ca'],
  [failed('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), '--db-ca'],
  [failed('CERT_HAS_EXPIRED'), '--db-ca'],
  [failed('ERR_TLS_CERT_ALTNAME_INVALID'), '--db-host'],
  [failed('INVALID_PURPOSE'), '--db-ca'],
  [failed('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'), '--db-sslmode'],
  [failed(undefined, 'The server does not support SSL connections'), '--db-sslmode'],
  [failed('28000', 'no pg_hba.conf entry for host "::1", user "a", no encryption'), '--db-sslmode'],
])('%s names its flag, and makes the database unavailable', (error, flag) => {
  expect(tlsRefusal(error)?.flag).toBe(flag);
  expect(isUnavailable(error)).toBe(true);
});

test.each([failed('28000', 'role "a" is not permitted to log in'), failed('23505'), null, 'text'])(
  '%s is none of TLS, and says nothing about the database',
  (error) => {
    expect(tlsRefusal(error)).toBeNull();
    expect(isUnavailable(error)).toBe(false);
  },
);

test('a PostgreSQL that speaks no TLS ends the start with the flag', async () => {
  await expect(startTestApp({ worker: false, args: ['--db-sslmode=require'] })).rejects.toThrow(
    /^--db-sslmode: PostgreSQL at 127\.0\.0\.1:\d+ does not speak TLS; turn its ssl on, or take disable$/,
  );
});
