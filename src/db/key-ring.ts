import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { SealedValueError } from '../core/errors.ts';

/** A named AES-256 key. `key` is 32 bytes; `id` is 1–32 of A–Z a–z 0–9 `_` `-`. */
export interface EncryptionKey {
  readonly id: string;
  readonly key: Uint8Array;
}

/** Where a sealed value belongs. It opens nowhere else. */
export interface SealContext {
  readonly tenantId: string;
  readonly field: string;
}

/** Seals and opens fields, and makes the blind indexes by which sealed fields are found. */
export interface KeyRing {
  /**
   * Seals under the first key with a fresh random nonce.
   * @returns `v1:<key id>:<nonce, 12 bytes>:<ciphertext and 16-byte tag>`, the last two in base64url.
   * @throws TypeError when the text is not well-formed Unicode, which could not be read back unchanged.
   */
  seal(plaintext: string, context: SealContext): string;
  /**
   * @throws MissingKeyError when the value was sealed under a key that the ring does not hold.
   * @throws TamperedCiphertextError when it is not what was sealed for this tenant and field.
   */
  open(sealed: string, context: SealContext): string;
  /** HMAC-SHA256 of `value` under a key of the purpose's own: 43 characters of base64url. */
  digest(purpose: string, value: string): string;
  /** The blind index of an e-mail address: the digest of the trimmed, lower-cased address. */
  emailIndex(address: string): string;
}

/** A value is sealed under a key that is not configured. */
export class MissingKeyError extends SealedValueError {
  override readonly name = 'MissingKeyError';
  constructor(keyId: string, tenantId: string | null = null) {
    super(`encryption key "${keyId}" is not in the key ring: add it to --encryption-keys`, keyId, tenantId);
  }
}

/** A sealed value was altered, moved to another tenant or field, or sealed under another key of the same id. */
export class TamperedCiphertextError extends SealedValueError {
  override readonly name = 'TamperedCiphertextError';
  constructor(keyId: string | null, tenantId: string | null = null) {
    super(
      keyId === null
        ? 'a sealed value does not open: it was altered'
        : `a value under encryption key "${keyId}" does not open: it was altered, moved, or sealed under another key of that id`,
      keyId,
      tenantId,
    );
  }
}

const KEY_ID = /^[A-Za-z0-9_-]{1,32}$/;
const SEALED = /^v1:([A-Za-z0-9_-]{1,32}):([A-Za-z0-9_-]{16}):([A-Za-z0-9_-]{22,})$/;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * The key ring: the first key seals, every key opens.
 * @param keys at least one, with different ids, 32 bytes each.
 * @param indexKey 32 random bytes; changing it makes every blind index stale.
 * @throws RangeError when the keys are not like that.
 */
export function createKeyRing(keys: readonly EncryptionKey[], indexKey: Uint8Array): KeyRing {
  const { first, byId } = readKeys(keys);
  requireKeyLength('the index key', indexKey);
  const purposes = new Map<string, KeyObject>();

  function keyFor(purpose: string): KeyObject {
    const known = purposes.get(purpose);
    if (known !== undefined) return known;
    const info = `tenant-management-service digest ${purpose}`;
    const derived = createSecretKey(Buffer.from(hkdfSync('sha256', indexKey, '', info, KEY_BYTES)));
    purposes.set(purpose, derived);
    return derived;
  }

  function digest(purpose: string, value: string): string {
    return createHmac('sha256', keyFor(purpose)).update(value, 'utf8').digest('base64url');
  }

  return Object.freeze({
    seal(plaintext: string, context: SealContext): string {
      if (!plaintext.isWellFormed()) throw new TypeError('text with a lone surrogate cannot be sealed');
      return encrypt(first, Buffer.from(plaintext, 'utf8'), fieldData(context));
    },
    open(sealed: string, context: SealContext): string {
      return decrypt(byId, sealed, fieldData(context), context.tenantId).toString('utf8');
    },
    digest,
    emailIndex(address: string): string {
      return digest('contact-email', address.trim().toLowerCase());
    },
  });
}

/** Wraps the key of the blind indexes under the first key, for this registry only, in the format of `seal`. */
export function wrapIndexKey(
  keys: readonly EncryptionKey[],
  indexKey: Uint8Array,
  registryId: string,
): string {
  requireKeyLength('the index key', indexKey);
  return encrypt(readKeys(keys).first, indexKey, indexKeyData(registryId));
}

/**
 * Unwraps what {@link wrapIndexKey} made.
 * @throws MissingKeyError, TamperedCiphertextError as `open` does.
 */
export function unwrapIndexKey(
  keys: readonly EncryptionKey[],
  wrapped: string,
  registryId: string,
): Uint8Array {
  return decrypt(readKeys(keys).byId, wrapped, indexKeyData(registryId));
}

/** What a key looks like from outside: 43 characters that tell keys apart and give nothing of the key away. */
export function fingerprintOf(key: Uint8Array): string {
  return createHmac('sha256', key).update('tenant-management-service key fingerprint').digest('base64url');
}

interface NamedKey {
  readonly id: string;
  readonly secret: KeyObject;
}

function readKeys(keys: readonly EncryptionKey[]): { first: NamedKey; byId: ReadonlyMap<string, NamedKey> } {
  const byId = new Map<string, NamedKey>();
  for (const { id, key } of keys) {
    if (!KEY_ID.test(id)) throw new RangeError('an encryption key id is 1 to 32 of A-Z a-z 0-9 _ -');
    if (byId.has(id)) throw new RangeError(`encryption key "${id}" is given twice: give each key its own id`);
    requireKeyLength(`encryption key "${id}"`, key);
    byId.set(id, { id, secret: createSecretKey(key) });
  }
  const [first] = byId.values();
  if (first === undefined) throw new RangeError('a key ring needs at least one encryption key');
  return { first, byId };
}

function requireKeyLength(what: string, key: Uint8Array): void {
  if (key.length !== KEY_BYTES)
    throw new RangeError(`${what} has ${key.length} bytes instead of ${KEY_BYTES}`);
}

// The associated data. JSON arrays of strings, so that no two contexts read alike.
const fieldData = ({ tenantId, field }: SealContext) => JSON.stringify(['field', tenantId, field]);
const indexKeyData = (registryId: string) => JSON.stringify(['index key', registryId]);

function encrypt(key: NamedKey, plaintext: Uint8Array, associatedData: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key.secret, nonce);
  cipher.setAAD(Buffer.from(associatedData, 'utf8'));
  const body = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  return `v1:${key.id}:${nonce.toString('base64url')}:${body.toString('base64url')}`;
}

function decrypt(
  keys: ReadonlyMap<string, NamedKey>,
  sealed: string,
  associatedData: string,
  tenantId: string | null = null,
): Buffer {
  const [, keyId, nonceText, bodyText] = SEALED.exec(sealed) ?? [];
  if (keyId === undefined || nonceText === undefined || bodyText === undefined) {
    throw new TamperedCiphertextError(null, tenantId);
  }
  const key = keys.get(keyId);
  if (key === undefined) throw new MissingKeyError(keyId, tenantId);
  const nonce = Buffer.from(nonceText, 'base64url');
  const body = Buffer.from(bodyText, 'base64url');
  // The decoder forgives stray bits at the end; a sealed value has exactly one spelling.
  if (body.toString('base64url') !== bodyText) throw new TamperedCiphertextError(keyId, tenantId);
  const decipher = createDecipheriv('aes-256-gcm', key.secret, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(associatedData, 'utf8'));
  decipher.setAuthTag(body.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(body.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch {
    // The cause would add nothing: GCM says only that the tag does not match.
    throw new TamperedCiphertextError(keyId, tenantId);
  }
}
