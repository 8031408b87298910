import type { SecureContextOptions } from 'node:tls';
import type { Logger } from 'pino';
import type { Certificates } from '../tls/certificates.ts';
import { type CertificateFiles, listenerContext, readCertificates } from './certificate-files.ts';

/** How often the files are looked at: by their content, since what puts them there may link, copy or rename them. */
const intervalMs = 1_000;

/**
 * Reads the files again when they change. Files that do not belong together, or are not whole yet, change nothing until
 * they are; connections go on with what they began with.
 * @throws ConfigError that names the flag when they cannot be used to begin with
 */
export function watchCertificates(files: CertificateFiles, log: Pick<Logger, 'info' | 'warn'>): Certificates {
  const listeners: ((context: SecureContextOptions) => void)[] = [];
  let seen = readCertificates(files);
  let context = listenerContext(files, seen);
  let complaint: string | null = null;

  function look(): void {
    try {
      const contents = readCertificates(files);
      const { cert, key, clientCa } = contents;
      if (cert === seen.cert && key === seen.key && clientCa === seen.clientCa) {
        complaint = null;
        return;
      }
      seen = contents;
      context = listenerContext(files, contents);
      for (const listener of listeners) listener(context);
      complaint = null;
      log.info('the certificate of the listeners was renewed');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== complaint)
        log.warn({ reason }, 'the certificate of before stays: the new one cannot be used');
      complaint = reason;
    }
  }
  const timer = setInterval(look, intervalMs).unref();

  return {
    current: () => context,
    demandsClients: files.clientCa !== null,
    onChange: (listener) => void listeners.push(listener),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
