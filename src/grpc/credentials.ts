import { ServerCredentials } from '@grpc/grpc-js';
import { type Certificates, handshakeTimeout } from '../tls/certificates.ts';

/** Follows the certificates, which what `ServerCredentials.createSsl` makes does not; a class, since grpc-js takes no less. */
class WatchedCredentials extends ServerCredentials {
  constructor(certificates: Certificates) {
    const demanded = certificates.demandsClients;
    super({ requestCert: demanded, rejectUnauthorized: demanded, handshakeTimeout }, certificates.current());
    certificates.onChange((context) => this.updateSecureContextOptions(context));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** What the server listens with: TLS, or plain text for null. */
export function serverCredentials(certificates: Certificates | null): ServerCredentials {
  return certificates === null ? ServerCredentials.createInsecure() : new WatchedCredentials(certificates);
}
