import { createServer } from 'node:http';
import pg from 'pg';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { listen } from '../listen.ts';
import type { TenantFields } from '../tenant-query.ts';
import { tell, told } from '../told.ts';
import { worksAlone } from './alone.ts';

// What PostgreSQL behind Node can do at all: one prepared query for each request, whose body names the tenant.

export interface SelectTask {
  readonly database: DatabaseSettings;
  readonly connections: number;
  /** Asked for in turn when there is no server around it. */
  readonly ids: readonly string[];
}

const { database, connections, ids } = await told<SelectTask>();
const pool = new pg.Pool({ ...database, max: connections });
const query = {
  name: 'tenant',
  text: 'SELECT id, name, subdomain, tier, status FROM tenants WHERE id = $1::uuid AND deleted_at IS NULL',
};
const find = async (id: string) =>
  (await pool.query<TenantFields>({ ...query, values: [id] })).rows[0] ?? null;
const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  const { variables } = JSON.parse(body);
  const tenant = await find(variables.id);
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ data: { tenant } }));
});
worksAlone((number) => find(ids[number % ids.length] ?? ''));
tell(await listen(server));
