import { createServer } from 'node:http';
import { postgraphile } from 'postgraphile';
import { makePgService } from 'postgraphile/adaptors/pg';
import { grafserv } from 'postgraphile/grafserv/node';
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber';
import type { PostgraphileTask } from '../foreign-tasks.ts';
import { listen } from '../listen.ts';
import { tell, told } from '../told.ts';

// PostGraphile as its guide sets it up, on the registry's own tables, in production mode.

const { database, connections } = await told<PostgraphileTask>();
const url = new URL(`postgres://${database.host}:${database.port}/${database.database}`);
url.username = database.user;
url.password = database.password;
const pgl = postgraphile({
  extends: [PostGraphileAmberPreset],
  pgServices: [
    makePgService({ connectionString: url.href, schemas: ['public'], poolConfig: { max: connections } }),
  ],
  grafserv: { graphqlPath: '/graphql', graphiql: false, watch: false },
  grafast: { explain: false },
});
const server = createServer();
server.on('error', (error) => {
  throw error;
});
await pgl.createServ(grafserv).addTo(server);
tell(await listen(server));
