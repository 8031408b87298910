import type { Position, TenantOrderField } from '../core/cursor.ts';
import type { Page, TenantQuery } from '../core/ports.ts';
import type { Prisma } from '../generated/prisma/client.ts';

const orderColumns = {
  CREATED_AT: 'createdAt',
  NAME: 'name',
  SUBDOMAIN: 'subdomain',
} as const satisfies Record<TenantOrderField, keyof Prisma.TenantWhereInput>;

/** A keyset page of tenants, as Prisma's arguments. */
export function tenantPage({ filter, order, ...page }: TenantQuery) {
  const { status, tier, search, contactEmail } = filter;
  const where: Prisma.TenantWhereInput[] = [];
  if (status != null && status.length > 0) where.push({ status: { in: [...status] } });
  if (tier != null) where.push({ tier });
  if (contactEmail != null) where.push({ contactEmail });
  if (search != null) {
    const prefix = escapePattern(search);
    where.push({
      OR: [
        { name: { startsWith: prefix, mode: 'insensitive' } },
        { subdomain: { startsWith: prefix.toLowerCase() } },
      ],
    });
  }
  return keyset<Prisma.TenantWhereInput>(orderColumns[order.field], order.direction, page, where);
}

/** A keyset page of a tenant's operations, oldest first. */
export function operationPage(tenantId: string, page: Page) {
  return keyset<Prisma.OperationWhereInput>('createdAt', 'ASC', page, [{ tenantId }]);
}

interface Keyset<Where> {
  where: { AND: Where[] };
  orderBy: Record<string, 'asc' | 'desc'>[];
  take: number;
}

/**
 * The rows on one side of a place, or between two. The plain bound on the column stands beside the exact one, so that
 * an index starts at the place instead of at the front.
 */
function keyset<Where>(
  column: string,
  direction: 'ASC' | 'DESC',
  { after, before, limit, inverted }: Page,
  where: readonly Where[],
): Keyset<Where> {
  const forwards = direction === 'ASC' ? 'gt' : 'lt';
  const backwards = direction === 'ASC' ? 'lt' : 'gt';
  const beyond = (place: Position | null, comparison: 'gt' | 'lt') =>
    place === null
      ? []
      : [
          { [column]: { [`${comparison}e`]: place.value } },
          {
            OR: [
              { [column]: { [comparison]: place.value } },
              { [column]: place.value, id: { [comparison]: place.id } },
            ],
          },
        ];
  const bounds = [...beyond(after, forwards), ...beyond(before, backwards)];
  const sort = (direction === 'ASC') === inverted ? 'desc' : 'asc';
  return {
    // The bounds are built from column names that the callers above spell out.
    where: { AND: [...where, ...(bounds as Where[])] },
    orderBy: [{ [column]: sort }, { id: sort }],
    take: limit,
  };
}

/** Prisma hands `startsWith` to LIKE as it is; the wildcards of LIKE are ordinary characters to a caller. */
function escapePattern(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
