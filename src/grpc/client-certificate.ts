import type { PeerCertificate } from 'node:tls';
import { UnauthenticatedError } from '../core/errors.ts';
import { type Caller, type Role, roles } from '../core/model.ts';

const prefix = 'URI:tms:role:';

/**
 * Who a client's certificate says is calling, when it gives them a role: by one alternative name of the form
 * `tms:role:<role>`. Null for every other certificate.
 * @param certificate one that was verified against --tls-client-ca
 * @throws {UnauthenticatedError} for a role that there is not, for several, and for a subject that is no name
 */
export function certifiedCaller(certificate: PeerCertificate | undefined): Caller | null {
  // Node puts names with a comma in them in quotes. Who has such a name gets no role: nothing has to be taken apart.
  const names = certificate?.subjectaltname ?? '';
  if (certificate === undefined || names.includes('"')) return null;
  const given = names.split(', ').filter((name) => name.startsWith(prefix));
  if (given.length === 0) return null;
  const role = roles.find((candidate): candidate is Role => `${prefix}${candidate}` === given[0]);
  if (role === undefined || given.length > 1) {
    throw new UnauthenticatedError(
      `The certificate must have one name tms:role:… with one of ${roles.join(', ')}.`,
    );
  }
  const subject = subjectOf(certificate);
  if (!/^[^\p{Cc}\p{Cs}]{4,255}$/u.test(subject)) {
    throw new UnauthenticatedError(
      "The certificate's subject must have a common name, without control characters.",
    );
  }
  const expiresAt = Date.parse(certificate.valid_to);
  // The handshake looked at it too, but a connection may last for days.
  if (!(expiresAt > Date.now())) {
    throw new UnauthenticatedError('The certificate has expired; connect with a new one.');
  }
  return { subject, role, expiresAt };
}

/** By its common name, so written that no token's subject looks like it by chance. */
function subjectOf({ subject }: PeerCertificate): string {
  const name: unknown = subject.CN;
  return typeof name === 'string' ? `CN=${name}` : '';
}
