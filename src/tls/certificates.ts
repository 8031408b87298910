import type { SecureContextOptions } from 'node:tls';

/** How long a client of a listener may take to shake hands, milliseconds; a drain waits for those who do. */
export const handshakeTimeout = 5_000;

/** The certificate of the listeners, as it is now. */
export interface Certificates extends Disposable {
  /** What the next handshake is made with. */
  current(): SecureContextOptions;
  /** Whether a gRPC client must show a certificate. */
  readonly demandsClients: boolean;
  /** Tells a listener of every other one that comes. */
  onChange(listener: (context: SecureContextOptions) => void): void;
}
