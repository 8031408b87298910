import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createKeyRing,
  fingerprintOf,
  MissingKeyError,
  TamperedCiphertextError,
  unwrapIndexKey,
  wrapIndexKey,
} from '../../src/db/key-ring.ts';

const newKey = (id: string) => ({ id, key: randomBytes(32) });
const oldKey = newKey('old');
const indexKey = randomBytes(32);
const ring = createKeyRing([oldKey], indexKey);
const context = { tenantId: '0b3c8a52-6a0e-4f0e-9d0f-3f1f6f1f0a11', field: 'contactEmail' };

const text = fc.string({ unit: 'binary' });
const contexts = fc.record({ tenantId: text, field: text });

describe('sealing', () => {
  test('opens to exactly what was sealed, for any text and context', () => {
    fc.assert(
      fc.property(text, contexts, (plaintext, where) => {
        expect(ring.open(ring.seal(plaintext, where), where)).toBe(plaintext);
      }),
    );
  });

  test('opens for no other tenant and no other field', () => {
    fc.assert(
      fc.property(text, contexts, contexts, (plaintext, here, elsewhere) => {
        fc.pre(here.tenantId !== elsewhere.tenantId || here.field !== elsewhere.field);
        expect(() => ring.open(ring.seal(plaintext, here), elsewhere)).toThrow(TamperedCiphertextError);
      }),
    );
  });

  test('does not confuse contexts that read alike when joined', () => {
    const sealed = ring.seal('x', { tenantId: 'a', field: 'b","c' });
    expect(() => ring.open(sealed, { tenantId: 'a","b', field: 'c' })).toThrow(TamperedCiphertextError);
  });

  test('notices any single character that was changed', () => {
    const sealed = ring.seal('ada@example.com', context);
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.constantFrom(...'AZaz09_-:'), (position, character) => {
        fc.pre(sealed[position] !== character);
        const altered = sealed.slice(0, position) + character + sealed.slice(position + 1);
        expect(() => ring.open(altered, context)).toThrow(/key ring|does not open/);
      }),
    );
  });

  test('accepts one spelling of a sealed value only', () => {
    // The last character of 17 bytes in base64url carries unused bits, which a lenient decoder ignores.
    const sealed = ring.seal('x', context);
    const spellings = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
      .map((last) => sealed.slice(0, -1) + last)
      .filter((candidate) => {
        try {
          return ring.open(candidate, context) === 'x';
        } catch {
          return false;
        }
      });
    expect(spellings).toEqual([sealed]);
  });

  test.each(['', 'ada@example.com', 'v2:old:x:y', 'v1:old:short:AAAAAAAAAAAAAAAAAAAAAA', 'v1:old'])(
    'never takes %j, which is no sealed value, for plain text',
    (value) => {
      expect(() => ring.open(value, context)).toThrow(TamperedCiphertextError);
    },
  );

  test('writes the format that the database demands, and never the same twice', () => {
    const sealed = ['', 'ada@example.com'].map((plaintext) => ring.seal(plaintext, context));
    for (const value of sealed) {
      expect(value).toMatch(/^v1:old:[A-Za-z0-9_-]{16}:[A-Za-z0-9_-]{22,}$/);
    }
    expect(ring.seal('ada@example.com', context)).not.toBe(ring.seal('ada@example.com', context));
  });

  test('refuses text that could not be read back unchanged', () => {
    expect(() => ring.seal('\ud800', context)).toThrow(TypeError);
  });
});

describe('several keys', () => {
  const newer = newKey('new');

  test('the first key writes and all of them read', () => {
    const rotated = createKeyRing([newer, oldKey], indexKey);
    const sealedBefore = ring.seal('ada@example.com', context);
    const sealedAfter = rotated.seal('ada@example.com', context);
    expect(sealedAfter.split(':')[1]).toBe('new');
    expect([sealedBefore, sealedAfter].map((sealed) => rotated.open(sealed, context))).toEqual([
      'ada@example.com',
      'ada@example.com',
    ]);
  });

  test('a missing key is named, and nothing else', () => {
    const sealed = createKeyRing([newer], indexKey).seal('ada@example.com', context);
    expect(() => ring.open(sealed, context)).toThrow(new MissingKeyError('new', context.tenantId));
    expect(new MissingKeyError('new').message).toBe(
      'encryption key "new" is not in the key ring: add it to --encryption-keys',
    );
  });

  test('another key of the same id opens nothing', () => {
    const impostor = createKeyRing([newKey('old')], indexKey);
    expect(() => impostor.open(ring.seal('x', context), context)).toThrow(TamperedCiphertextError);
  });

  test.each([
    ['no key', [], indexKey, 'a key ring needs at least one encryption key'],
    [
      'a short key',
      [{ id: 'a', key: randomBytes(31) }],
      indexKey,
      'encryption key "a" has 31 bytes instead of 32',
    ],
    ['a strange id', [newKey('a b')], indexKey, 'an encryption key id is 1 to 32 of A-Z a-z 0-9 _ -'],
    [
      'one id twice',
      [newKey('a'), newKey('a')],
      indexKey,
      'encryption key "a" is given twice: give each key its own id',
    ],
    ['a short index key', [newKey('a')], randomBytes(16), 'the index key has 16 bytes instead of 32'],
  ])('%s is refused', (_case, keys, index, message) => {
    expect(() => createKeyRing(keys, index)).toThrow(new RangeError(message));
  });
});

describe('blind indexes', () => {
  test('are 43 characters, the same for the same value and purpose, and different for others', () => {
    const digests = [
      ring.digest('contact-email', 'a'),
      ring.digest('contact-email', 'b'),
      ring.digest('idempotency', 'a'),
      createKeyRing([oldKey], randomBytes(32)).digest('contact-email', 'a'),
    ];
    for (const digest of digests) expect(digest).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(new Set(digests).size).toBe(4);
    expect(createKeyRing([newKey('other')], indexKey).digest('contact-email', 'a')).toBe(digests[0]);
  });

  test('of an address ignore its case and outer blanks', () => {
    expect(ring.emailIndex('  Ada@Example.COM ')).toBe(ring.emailIndex('ada@example.com'));
    expect(ring.emailIndex('ada@example.com')).not.toBe(ring.emailIndex('ada@example.org'));
  });
});

describe('the index key', () => {
  test('unwraps for its own registry only', () => {
    const wrapped = wrapIndexKey([oldKey], indexKey, 'registry-1');
    expect(Buffer.from(unwrapIndexKey([newKey('new'), oldKey], wrapped, 'registry-1'))).toEqual(indexKey);
    expect(() => unwrapIndexKey([oldKey], wrapped, 'registry-2')).toThrow(TamperedCiphertextError);
    expect(() => unwrapIndexKey([newKey('new')], wrapped, 'registry-1')).toThrow(new MissingKeyError('old'));
  });

  test('and a field are never taken for one another', () => {
    const wrapped = wrapIndexKey([oldKey], indexKey, context.tenantId);
    expect(() => ring.open(wrapped, context)).toThrow(TamperedCiphertextError);
    expect(() => unwrapIndexKey([oldKey], ring.seal('x', context), context.tenantId)).toThrow(
      TamperedCiphertextError,
    );
  });
});

test('a fingerprint tells keys apart', () => {
  expect(fingerprintOf(oldKey.key)).toBe(fingerprintOf(Uint8Array.from(oldKey.key)));
  expect(fingerprintOf(oldKey.key)).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(fingerprintOf(oldKey.key)).not.toBe(fingerprintOf(indexKey));
});
