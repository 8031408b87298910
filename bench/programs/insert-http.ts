import { createServer } from 'node:http';
import { listen } from '../listen.ts';
import { tell, told } from '../told.ts';
import { worksAlone } from './alone.ts';
import { createInserts, type InsertTask } from './inserts.ts';

// What accepting creates costs at the least: the same inserts for each request, whose body names the subdomain.

const insert = createInserts(await told<InsertTask>());
const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  const { variables } = JSON.parse(body);
  const [row] = await insert(variables.input.subdomain);
  const tenant = { id: row?.['tenant.id'], status: row?.['tenant.status'] };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ data: { createTenant: { tenant } } }));
});
worksAlone((number) => insert(`alone-${number}`));
tell(await listen(server));
