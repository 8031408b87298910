import type { Actor, Role } from '../../src/core/model.ts';

/** Who a test acts as, from where GraphQL's clients are in tests. */
export function actor(role: Role, subject: string): Actor {
  return { subject, role, transport: 'GRAPHQL', address: '127.0.0.1' };
}
