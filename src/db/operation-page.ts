import type { Page } from '../core/ports.ts';
import type { Prisma } from '../generated/prisma/client.ts';

/**
 * A keyset page of a tenant's operations, oldest first, as Prisma's arguments. The plain bound on the time stands beside
 * the exact one, so that an index starts at the place instead of at the front.
 */
export function operationPage(tenantId: string, { after, before, limit, inverted }: Page) {
  const bounds: Prisma.OperationWhereInput[] = [];
  if (after !== null) {
    const { value: createdAt, id } = after;
    bounds.push({ createdAt: { gte: createdAt } });
    bounds.push({ OR: [{ createdAt: { gt: createdAt } }, { createdAt, id: { gt: id } }] });
  }
  if (before !== null) {
    const { value: createdAt, id } = before;
    bounds.push({ createdAt: { lte: createdAt } });
    bounds.push({ OR: [{ createdAt: { lt: createdAt } }, { createdAt, id: { lt: id } }] });
  }
  const sort = inverted ? 'desc' : 'asc';
  return {
    where: { AND: [{ tenantId }, ...bounds] },
    orderBy: [{ createdAt: sort }, { id: sort }],
    take: limit,
  } satisfies Prisma.OperationFindManyArgs;
}
