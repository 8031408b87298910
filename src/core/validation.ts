import { z } from 'zod';
import { auditActions } from './audit-entry.ts';
import { ValidationError } from './errors.ts';
import { deletedFilters, tenantStatuses } from './model.ts';

// Controls (C0, C1, lone surrogates), line and paragraph separators, and the marks that reverse or isolate the
// direction of text: none has a place in a label, and the last make one name look like another.
const forbidden = /[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;
const visible = /[\p{L}\p{N}\p{P}\p{S}]/u;

/** A trimmed line of text of 1 to `max` code points. */
function line(max: number) {
  return z
    .string('must be a string')
    .transform((value) => value.trim())
    .refine((value) => value !== '', { error: 'must not be empty', abort: true })
    .refine((value) => [...value].length <= max, {
      error: `must have at most ${max} characters`,
      abort: true,
    })
    .refine((value) => !forbidden.test(value), { error: 'must not contain control characters', abort: true })
    .refine((value) => visible.test(value), 'must contain a visible character');
}

/** RFC 1123 label, lower-case. */
const label = z
  .string('must be a string')
  .transform((value) => value.trim())
  // Before it is lower-cased: that would turn other letters, such as the Kelvin sign, into ours.
  .refine((value) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(value), {
    error: 'must be a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens',
    abort: true,
  })
  .transform((value) => value.toLowerCase());

/** An address that mail could reach; RFC 5321's limits, no quoted local parts, no comments. */
export const emailAddress = line(254).refine(
  (value) =>
    /^[^\s@"(),:;<>[\\\]]{1,64}@([\p{L}\p{N}]([\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.)+[\p{L}\p{N}-]{2,63}$/u.test(
      value,
    ),
  'must be an e-mail address',
);

/** A UUID in any case, answered in lower case. */
export const uuid = z
  .string('must be a string')
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i, 'must be a UUID')
  .transform((value) => value.toLowerCase());

/** Whether it is a UUID in lower case, as all of ours are: cheaper than to parse one. */
export function isUuid(value: unknown): boolean {
  return (
    typeof value === 'string' && /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(value)
  );
}

/** The number of an entry of the audit log, as digits; it fits into 64 bits. */
export const auditEntryId = z.string().regex(/^[1-9]\d{0,17}$/, 'must be the id of an audit entry');

const version = z
  .int('must be a whole number')
  .min(1, 'must be at least 1')
  .max(2_147_483_647, 'is too large');

/** How many items a page may have. */
export const pageSize = z
  .int('must be a whole number')
  .min(0, 'must not be negative')
  .max(100, 'must be at most 100');

/** A sequence after which events are wanted; 0 is before the first. */
export const sequenceNumber = z
  .int('must be a whole number')
  .min(0, 'must not be negative')
  .max(2_147_483_647, 'is too large');

export const tenantFilter = z.object({
  status: z.array(z.enum(tenantStatuses)).max(tenantStatuses.length).nullish(),
  tier: line(50).nullish(),
  search: line(100).nullish(),
  contactEmail: emailAddress.nullish(),
  deleted: z.enum(deletedFilters).nullish(),
});
export type TenantFilter = z.output<typeof tenantFilter>;

export const auditFilter = z.object({
  tenantId: uuid.nullish(),
  subject: line(255).nullish(),
  action: z.enum(auditActions).nullish(),
  result: z
    .string('must be a string')
    .regex(/^[A-Z_]{2,40}$/, 'must be OK or the code of an error')
    .nullish(),
  /** From this moment on. */
  from: z.date().nullish(),
  /** Before this moment. */
  to: z.date().nullish(),
});
export type AuditFilter = z.output<typeof auditFilter>;

/** The rules of what callers write; `reserved` are the subdomains that no tenant may have. */
export function createRules(reserved: ReadonlySet<string>) {
  const subdomain = label.refine((value) => !reserved.has(value), 'is reserved; choose another one');
  return {
    createTenant: z.object({
      name: line(100),
      subdomain,
      contactEmail: emailAddress,
      tier: line(50).nullish(),
      idempotencyKey: line(255).nullish(),
    }),
    updateTenant: z.object({
      id: uuid,
      expectedVersion: version.nullish(),
      name: line(100).nullish(),
      subdomain: subdomain.nullish(),
      contactEmail: emailAddress.nullish(),
      tier: line(50).nullish(),
    }),
  };
}
export type Rules = ReturnType<typeof createRules>;
export type CreateTenantInput = z.input<Rules['createTenant']>;
export type UpdateTenantInput = z.input<Rules['updateTenant']>;

/**
 * What zod found wrong, as field errors. Schemas here never put a rejected value in a message.
 */
export function fieldErrorsOf(
  issues: readonly { readonly path?: readonly unknown[] | undefined; readonly message: string }[],
) {
  return issues.map(({ path, message }) => ({ path: (path ?? []).map(String).join('.'), message }));
}

/**
 * The parsed input.
 * @throws {ValidationError} with an entry per field that breaks a rule
 */
export function parse<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new ValidationError(fieldErrorsOf(result.error.issues));
}
