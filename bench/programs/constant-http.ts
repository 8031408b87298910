import { createServer } from 'node:http';
import { listen } from '../listen.ts';
import { tell, told } from '../told.ts';

// What Node's server can do at all: it reads the request and answers a constant.

export interface ConstantTask {
  readonly answer: string;
}

const { answer } = await told<ConstantTask>();
const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) };
const server = createServer((request, response) => {
  request.resume().on('end', () => response.writeHead(200, headers).end(answer));
});
tell(await listen(server));
