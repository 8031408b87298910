import fastify from 'fastify';
import mercurius from 'mercurius';
import type { MercuriusTask } from '../foreign-tasks.ts';
import { tell, told } from '../told.ts';

// Mercurius with its compiler of queries on: tenants from memory, nobody is asked who they are.

const { tenants } = await told<MercuriusTask>();
const byId = new Map(tenants.map((tenant) => [tenant.id, tenant]));
const app = fastify();
await app.register(mercurius, {
  schema: `
    type Tenant { id: ID! name: String! subdomain: String! tier: String! status: TenantStatus! }
    enum TenantStatus { PROVISIONING ACTIVE INACTIVE ERROR }
    type Query { tenant(id: ID!): Tenant }`,
  resolvers: { Query: { tenant: (_root: unknown, { id }: { id: string }) => byId.get(id) ?? null } },
  jit: 1,
});
const address = await app.listen({ host: '127.0.0.1', port: 0 });
tell(Number(new URL(address).port));
