import { createServer } from 'node:http';
import { listen } from '../listen.ts';
import { tell, told } from '../told.ts';

// What a stream of server-sent events costs at the least: a response that stays open.

await told<object>();
const server = createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  response.write(':\n\n');
});
tell(await listen(server));
