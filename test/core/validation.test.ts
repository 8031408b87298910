import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ValidationError } from '../../src/core/errors.ts';
import { createRules, parse } from '../../src/core/validation.ts';
import { createKeyRing } from '../../src/db/key-ring.ts';
import { inserted, type RegistryRows, tenantRow } from '../db/registry-rows.ts';

const rules = createRules(new Set(['www', 'admin']));
const valid = { name: 'Acme', subdomain: 'acme', contactEmail: 'owner@acme.example' };
const keyRing = createKeyRing([{ id: 'key', key: randomBytes(32) }], randomBytes(32));

let rows: RegistryRows;

beforeAll(async () => {
  rows = await inserted();
});
afterAll(() => rows[Symbol.asyncDispose]());

/** What the rules make of one field, or the message with which they refuse it. */
function read(field: string, value: unknown): { value: unknown } | { refused: string } {
  try {
    const parsed: Record<string, unknown> = parse(rules.createTenant, { ...valid, [field]: value });
    return { value: parsed[field] };
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    expect(error.fieldErrors).toEqual([{ path: field, message: expect.any(String) }]);
    return { refused: error.fieldErrors[0]?.message ?? '' };
  }
}

const domain = `${`${'d'.repeat(61)}.`.repeat(3)}example`;

describe('is accepted:', () => {
  test.each<[string, string, unknown, unknown]>([
    ['a name of 100 letters', 'name', 'n'.repeat(100), 'n'.repeat(100)],
    ['a name of 100 emoji', 'name', '😀'.repeat(100), '😀'.repeat(100)],
    ['a name with blanks around it, without them', 'name', ' \u00a0Acme Ltd\n', 'Acme Ltd'],
    ['a name of one letter', 'name', 'ß', 'ß'],
    ['a name in Arabic, a family of emoji', 'name', 'شركة 👨‍👩‍👧', 'شركة 👨‍👩‍👧'],
    ['a subdomain of 63 characters', 'subdomain', 'a'.repeat(63), 'a'.repeat(63)],
    ['a subdomain of one digit', 'subdomain', '7', '7'],
    ['a subdomain in capitals with blanks, normalised', 'subdomain', ' Acme-Shop ', 'acme-shop'],
    ['a tier of 50 characters', 'tier', 't'.repeat(50), 't'.repeat(50)],
    ['no tier', 'tier', null, null],
    [
      'an address of 254 characters',
      'contactEmail',
      `${'l'.repeat(254 - domain.length - 1)}@${domain}`,
      `${'l'.repeat(254 - domain.length - 1)}@${domain}`,
    ],
    [
      'an address with blanks around it',
      'contactEmail',
      ' Owner+tag@Acme.example ',
      'Owner+tag@Acme.example',
    ],
    ['an address of an international domain', 'contactEmail', 'post@bücher.example', 'post@bücher.example'],
    ['an idempotency key of 255 characters', 'idempotencyKey', 'k'.repeat(255), 'k'.repeat(255)],
  ])('%s', (_, field, value, expected) => {
    expect(read(field, value)).toEqual({ value: expected });
  });
});

describe('is refused:', () => {
  test.each<[string, string, unknown, string]>([
    ['a name of blanks', 'name', ' \t\u3000', 'must not be empty'],
    ['a name of 101 emoji', 'name', '😀'.repeat(101), 'must have at most 100 characters'],
    ['a name with a NUL', 'name', 'Ac\0me', 'must not contain control characters'],
    ['a name with an escape', 'name', 'Ac\u001b[31mme', 'must not contain control characters'],
    ['a name with half an emoji', 'name', 'Ac\ud83dme', 'must not contain control characters'],
    ['a name that turns its direction', 'name', 'Ac\u202eme', 'must not contain control characters'],
    ['a name that nobody sees', 'name', '\u200b\u200d', 'must contain a visible character'],
    ['a name that is a number', 'name', 7, 'must be a string'],
    [
      'a subdomain of letters that become ours in lower case',
      'subdomain',
      '\u212Aelvin',
      'must be a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens',
    ],
    [
      'SQL in a subdomain',
      'subdomain',
      "acme'; DROP TABLE tenants;--",
      'must be a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens',
    ],
    [
      'a subdomain of 64 characters',
      'subdomain',
      'a'.repeat(64),
      'must be a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens',
    ],
    [
      'a Cyrillic subdomain',
      'subdomain',
      'асme',
      'must be a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens',
    ],
    ['a reserved subdomain', 'subdomain', ' WWW', 'is reserved; choose another one'],
    ['an address without a domain', 'contactEmail', 'owner@', 'must be an e-mail address'],
    ['two addresses', 'contactEmail', 'a@b.example,c@d.example', 'must be an e-mail address'],
    [
      'an address of 255 characters',
      'contactEmail',
      `${'l'.repeat(255 - domain.length - 1)}@${domain}`,
      'must have at most 254 characters',
    ],
    [
      'an address with a line break',
      'contactEmail',
      'a@b.example\r\nBcc: c@d.example',
      'must not contain control characters',
    ],
    ['a tier of 51 characters', 'tier', 't'.repeat(51), 'must have at most 50 characters'],
    ['an empty tier', 'tier', '', 'must not be empty'],
    [
      'an idempotency key of 256 characters',
      'idempotencyKey',
      'k'.repeat(256),
      'must have at most 255 characters',
    ],
  ])('%s', (_, field, value, message) => {
    expect(read(field, value)).toEqual({ refused: message });
  });

  test('all that is wrong at once, and no value is in the message', () => {
    const input = { name: 'Secret\0Name', subdomain: 'secret_label', contactEmail: 'secret@', tier: '' };
    const refused = () => parse(rules.createTenant, input);
    const fieldErrors = [
      { path: 'name', message: 'must not contain control characters' },
      { path: 'subdomain', message: 'must be a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens' },
      { path: 'contactEmail', message: 'must be an e-mail address' },
      { path: 'tier', message: 'must not be empty' },
    ];
    expect(refused).toThrow(expect.objectContaining({ fieldErrors }));
    expect(refused).not.toThrow(/secret/i);
  });
});

test('whatever the rules accept, the database keeps as it is', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 110 }),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 110 }),
    fc.string({
      unit: fc.constantFrom(' ', '\t', '\u00a0', '\ufeff', '\u2003', 'a', '😀', '\uffff', '\u0300'),
      maxLength: 110,
    }),
  );
  const label = fc.string({
    unit: fc.constantFrom('a', 'Z', '9', '-', 'k', '\u212a', 'ß', 'İ', ' '),
    maxLength: 66,
  });
  const address = fc.oneof(
    fc.emailAddress(),
    fc.tuple(text, text).map(([local, rest]) => `${local}@${rest}.example`),
  );
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(text, label, text, address, async (name, subdomain, tier, contactEmail) => {
      // Each field alone: all four are seldom right together.
      const values: Record<string, unknown> = {};
      for (const [column, field, value] of [
        ['name', 'name', name],
        ['subdomain', 'subdomain', subdomain],
        ['tier', 'tier', tier],
        ['contact_email', 'contactEmail', contactEmail],
      ] as const) {
        const answer = read(field, value);
        if ('value' in answer) values[column] = answer.value;
      }
      accepted += Object.keys(values).length;
      const row = { ...tenantRow(), ...values, deleted_at: new Date() };
      const context = { tenantId: row.id, field: 'contactEmail' };
      const stored = {
        ...row,
        contact_email: keyRing.seal(row.contact_email, context),
        contact_email_index: keyRing.emailIndex(row.contact_email),
      };
      await rows.insert('tenants', stored);
      const { id, name: storedName, subdomain: storedSubdomain, ...rest } = stored;
      const [found] = await rows.query('SELECT * FROM tenants WHERE id = $1', [id]);
      expect(found).toMatchObject({ ...rest, name: storedName, subdomain: storedSubdomain });
      expect(keyRing.open(String(found?.contact_email), context)).toBe(row.contact_email);
    }),
    { numRuns: 400 },
  );
  expect(accepted).toBeGreaterThan(400);
}, 60_000);

test('what the rules accept of a name they accept again, unchanged', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 105 }), (name) => {
      const once = read('name', name);
      if ('value' in once) expect(read('name', once.value)).toEqual(once);
    }),
  );
});
