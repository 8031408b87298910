import type { Metadata } from '@grpc/grpc-js';
import { ValidationError } from '../core/errors.ts';

/**
 * Checks the `x-tenant-subdomain` metadata that callers of CreateTenant may send, also several times or joined by
 * commas: each value must be the request's subdomain.
 * @throws {ValidationError}
 */
export function checkSubdomainMetadata(metadata: Metadata, subdomain: string): void {
  const values = metadata
    .get('x-tenant-subdomain')
    .flatMap((value) => value.toString().split(','))
    .map(normalize);
  if (values.every((value) => value === '' || value === normalize(subdomain))) return;
  throw new ValidationError([
    { path: 'x-tenant-subdomain', message: 'must equal the subdomain of the request, or be left out' },
  ]);
}

/** The `idempotency-key` metadata, or null. @throws {ValidationError} when there are several */
export function idempotencyKeyOf(metadata: Metadata): string | null {
  const keys = new Set(metadata.get('idempotency-key').map((value) => value.toString().trim()));
  keys.delete('');
  if (keys.size > 1) throw new ValidationError([{ path: 'idempotency-key', message: 'must be given once' }]);
  const [key = null] = keys;
  return key;
}

/** As core normalises a subdomain. */
function normalize(value: string): string {
  return value.trim().toLowerCase();
}
