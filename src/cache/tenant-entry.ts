import { z } from 'zod';
import { type Tenant, tenantStatuses } from '../core/model.ts';

const time = z.iso.datetime().transform((text) => new Date(text));

const tenant = z.object({
  id: z.guid(),
  name: z.string(),
  subdomain: z.string(),
  tier: z.string(),
  status: z.enum(tenantStatuses),
  version: z.int(),
  schemaVersion: z.int(),
  createdAt: time,
  updatedAt: time,
  deletedAt: time.nullable(),
  operationId: z.guid().nullable(),
}) satisfies z.ZodType<Tenant>;

const fields = Object.keys(tenant.shape);

/** A tenant as Redis keeps it. What it may have beside its fields is left out: a contact must never come here. */
export function tenantEntry({ version, ...rest }: Tenant): string {
  return `${version} ${JSON.stringify({ version, ...rest }, fields)}`;
}

/**
 * The tenant that an entry holds; null when it only says that there was a change, or is none that this version of the
 * service writes.
 */
export function parseTenantEntry(entry: string): Tenant | null {
  const space = entry.indexOf(' ');
  if (space === -1) return null;
  try {
    return tenant.safeParse(JSON.parse(entry.slice(space + 1))).data ?? null;
  } catch {
    return null;
  }
}
