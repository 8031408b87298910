import type { PeerCertificate } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { UnauthenticatedError } from '../../src/core/errors.ts';
import { certifiedCaller } from '../../src/grpc/client-certificate.ts';

// What openssl does not let a test make: only the members that are read.
const certificate = (subjectaltname: string, CN: unknown = 'billing') =>
  ({ subjectaltname, subject: { CN }, valid_to: 'Jan  1 00:00:00 2030 GMT' }) as PeerCertificate;

describe('a client’s certificate', () => {
  test('gives its one role to its common name', () => {
    expect(certifiedCaller(certificate('DNS:a.example, URI:tms:role:editor'))).toEqual({
      subject: 'CN=billing',
      role: 'editor',
      expiresAt: Date.UTC(2030, 0, 1),
    });
  });

  test('that has expired since the handshake is refused', () => {
    const old = { ...certificate('URI:tms:role:admin'), valid_to: 'Jan  1 00:00:00 2020 GMT' };
    expect(() => certifiedCaller(old)).toThrow('The certificate has expired');
  });

  test('gives none without a role', () => {
    expect(certifiedCaller(undefined)).toBeNull();
    expect(certifiedCaller(certificate('DNS:a.example'))).toBeNull();
  });

  test('gives none when a name holds what looks like another one: Node puts it in quotes', () => {
    expect(certifiedCaller(certificate('URI:"x, URI:tms:role:admin, DNS:y"'))).toBeNull();
    expect(certifiedCaller(certificate('DNS:"x, y", URI:tms:role:admin'))).toBeNull();
  });

  test.each([[''], ['a\nb'], ['n'.repeat(253)], [['one', 'other']], [undefined]])(
    'is refused with a role for the common name %j',
    (name) => {
      const refused = () =>
        certifiedCaller({
          ...certificate('URI:tms:role:admin'),
          subject: { CN: name },
        } as PeerCertificate);
      expect(refused).toThrow(UnauthenticatedError);
    },
  );
});
