import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { EncryptionKey } from '../db/key-ring.ts';
import { isHost, withoutBrackets } from './hosts.ts';
import { certificatesIn } from './pem.ts';

// What a flag's text may be and what it becomes. Issues with a message of their own are shown to the operator,
// so none of them may quote the text: some of these texts are secrets.

/** A schema of whole decimal numbers in a range, ends included. */
export function wholeNumber(min: number, max: number): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .refine((value) => value >= min && value <= max);
}

/** A flag's text as a boolean. */
export const truth: z.ZodType<boolean, string> = z.stringbool({
  truthy: ['1', 'true'],
  falsy: ['0', 'false'],
});

/** An IP address or host name; an IPv6 address also in brackets. */
export const host: z.ZodType<string, string> = z.string().transform(withoutBrackets).refine(isHost);

/** A name of a PostgreSQL role or database, which the server would cut after 63 bytes. */
export const databaseName: z.ZodType<string, string> = z
  .string()
  .regex(/^\P{Cc}+$/u)
  .refine((name) => Buffer.byteLength(name) <= 63);

/** A PostgreSQL password. */
export const databasePassword: z.ZodType<string, string> = z.string().regex(/^\P{Cc}{1,1000}$/u);

const path = z
  .string()
  .regex(/^\P{Cc}+$/u)
  .transform((text) => resolve(text));

/** A directory, made absolute; it may be missing still. */
export const directory: z.ZodType<string, string> = path.refine((at) => {
  try {
    return statSync(at, { throwIfNoEntry: false })?.isDirectory() ?? true;
  } catch {
    return false;
  }
});

/** A directory that is there and readable, made absolute. */
export const readableDirectory: z.ZodType<string, string> = path.refine((at) => {
  try {
    accessSync(at, constants.R_OK | constants.X_OK);
    return statSync(at).isDirectory();
  } catch {
    return false;
  }
});

/** A file of certificates in PEM, as their texts. */
export const certificates: z.ZodType<readonly string[], string> = path.transform((at, issues) => {
  try {
    return certificatesIn(readFileSync(at, 'latin1'));
  } catch {
    issues.addIssue({ code: 'invalid_format', format: 'certificates', input: at });
    return z.NEVER;
  }
});

/** The path of a file, made absolute. */
export const file: z.ZodType<string, string> = path;

/** The same, or `none`. */
export const fileOrNone: z.ZodType<string, string> = z.union([z.literal('none'), path]);

/** A `redis://` or `rediss://` address, kept as text. */
export const redisUrl: z.ZodType<string, string> = z.string().superRefine((text, issues) => {
  const url = URL.parse(text);
  const complain = (message: string) => issues.addIssue({ code: 'custom', message });
  if (url === null || /[\s\p{Cc}]/u.test(text) || !/^rediss?:$/.test(url.protocol))
    complain('that is no such address');
  else if (!isHost(withoutBrackets(url.hostname))) complain('its host is no host name or IP address');
  else if (!/^(\/\d{0,4})?$/.test(url.pathname)) complain('its path is no database number');
  else if (url.search !== '' || url.hash !== '') complain('query parameters and fragments are not supported');
  else if (!isPercentEncoded(url.username) || !isPercentEncoded(url.password))
    complain('its user or password is not percent-encoded correctly');
});

/** A shared HS256 secret as bytes; RFC 7518 §3.2 asks for as many bytes as the hash has. */
export const authSecret: z.ZodType<Uint8Array, string> = z
  .string()
  .transform((text): Uint8Array => new TextEncoder().encode(text))
  .superRefine((bytes, issues) => {
    if (bytes.length < 32) issues.addIssue({ code: 'custom', message: `it has ${bytes.length}` });
  });

/** The address of a JSON Web Key Set, kept as text; whether it may be a plain one is decided with the host. */
export const jwksUrl: z.ZodType<string, string> = z.string().superRefine((text, issues) => {
  const url = /^https?:\/\/[^\s\p{Cc}]+$/iu.test(text) ? URL.parse(text) : null;
  const complain = (message: string) => issues.addIssue({ code: 'custom', message });
  if (url === null || !isHost(withoutBrackets(url.hostname))) complain('that is no such address');
  else if (url.username !== '' || url.password !== '') complain('it has a user or a password');
});

/** A text that a claim of tokens is compared with. */
export const claim: z.ZodType<string, string> = z.string().regex(/^\P{Cc}{1,1000}$/u);

/** `id:base64` pairs, separated by commas or, as in a file, by ends of lines; entries are named by their place, for the text is secret. */
export const encryptionKeys: z.ZodType<readonly EncryptionKey[], string> = z
  .string()
  .transform((text, issues) => {
    const keys = new Map<string, EncryptionKey>();
    for (const [index, entry] of text.split(/\s*[,\n]\s*/).entries()) {
      const [, id = '', encoded = ''] =
        /^\s*([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]+={0,2})\s*$/.exec(entry) ?? [];
      const bytes = Buffer.from(encoded, 'base64');
      const complain = (what: string) =>
        issues.addIssue({ code: 'custom', message: `entry ${index + 1} ${what}` });
      if (id === '' || bytes.toString('base64') !== encoded) complain('is not of that form');
      else if (bytes.length !== 32) complain(`has ${bytes.length} bytes instead of 32`);
      else if (keys.has(id)) complain('repeats the id of an earlier one');
      keys.set(id, { id, key: new Uint8Array(bytes) });
    }
    return [...keys.values()];
  });

/** DNS labels, comma separated, as a set. */
export const labels: z.ZodType<ReadonlySet<string>, string> = z
  .string()
  .toLowerCase()
  .transform((text) => text.split(',').map((label) => label.trim()))
  .pipe(z.array(z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)))
  .transform((list): ReadonlySet<string> => new Set(list));

/** Origins as browsers send them (RFC 6454 §6.2), comma separated; or `*`. */
export const origins: z.ZodType<readonly string[], string> = z.string().transform((text, issues) => {
  const list = text.split(',').map((entry) => {
    const item = entry.trim();
    if (item === '*') return item;
    const url = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@*\s\\]+$/i.test(item) ? URL.parse(item) : null;
    if (url === null) issues.addIssue({ code: 'invalid_format', format: 'origin', input: item });
    return `${url?.protocol}//${url?.host}`;
  });
  return [...new Set(list)];
});

function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
