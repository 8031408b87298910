import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

/** A context itself can neither be read nor sent. */
const authoritiesOfContexts = new WeakMap<SecureContext, readonly string[] | undefined>();

/**
 * What connections to a server behind us are made with: TLS 1.2 or newer.
 * @param authorities PEM certificates of who may have signed the server's; undefined: the system's
 */
export function clientContext(authorities: readonly string[] | undefined): SecureContext {
  const ca = authorities ?? systemAuthorities();
  const context = createSecureContext({ minVersion: 'TLSv1.2', ...(ca.length > 0 ? { ca: [...ca] } : {}) });
  authoritiesOfContexts.set(context, authorities);
  return context;
}

/** What {@link clientContext} was told when it made this one, for who makes the same in another process. */
export function authoritiesOf(context: SecureContext): readonly string[] | undefined {
  return authoritiesOfContexts.get(context);
}

/** Those of this machine and of NODE_EXTRA_CA_CERTS. A machine that has none gets those that come with Node. */
function systemAuthorities(): readonly string[] {
  // Many are in the system's bundle and once more in a file of their own.
  const system = new Set(getCACertificates('system'));
  return system.size === 0 ? [] : [...system.union(new Set(getCACertificates('extra')))];
}
