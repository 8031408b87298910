import { createHash, createHmac, pbkdf2, pbkdf2Sync, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

/** As PostgreSQL makes them itself; some drivers accept no fewer. */
const usualIterations = 4096;

/**
 * For a password of 256 random bits that only the service logs in with: iterations make guessing dear, and there is
 * nothing to guess. They would cost both sides some milliseconds, at each change of the password and at each login.
 */
export const fewestIterations = 1;

/**
 * The verifier that PostgreSQL stores for a password (RFC 5803, with the stored and server key of RFC 5802), so that
 * the password itself is in no statement and in no server log.
 * @param password ASCII, so that SASLprep changes nothing
 */
export async function scramVerifier(password: string, iterations = usualIterations): Promise<string> {
  const salt = randomBytes(16);
  const given = [password, salt, iterations, 32, 'sha256'] as const;
  // So few take less than the way to another thread.
  const salted = iterations === fewestIterations ? pbkdf2Sync(...given) : await promisify(pbkdf2)(...given);
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  const serverKey = hmac('Server Key').toString('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
