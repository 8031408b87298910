import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { createDirectory, nodeProgram } from '../support/process.ts';

/** A network of its own, with nothing but its own loopback: every port is free there. */
export interface Network extends AsyncDisposable {
  /** Words to put before a command that is to run there. */
  readonly prefix: readonly string[];
  /** A port here that leads to one there. */
  forward(port: number): Promise<number>;
}

/** Whether this user may make networks here. */
export const canMakeNetworks =
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['--net', 'sh', '-c', 'ip link set lo up && exec nsenter --version']).status === 0;

/** Listens, inside, on a socket in the file system for each of the ports, and passes on what comes. */
const forwarder = `
  const { connect, createServer } = require('node:net');
  const [directory, ...ports] = process.argv.slice(1);
  for (const port of ports) {
    createServer((here) => {
      const there = connect(Number(port), '127.0.0.1');
      here.pipe(there).pipe(here);
      here.on('error', () => there.destroy());
      there.on('error', () => here.destroy());
    }).listen(directory + '/' + port);
  }`;

/** Makes a network. @param ports those that are to be reached from here */
export async function createNetwork(ports: readonly number[]): Promise<Network> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await createDirectory());
  const script = 'ip link set lo up && exec "$@"';
  const inside = [nodeProgram, '-e', forwarder, path, ...ports.map(String)];
  // Holds the network as long as it lives.
  const holder = spawn('unshare', ['--net', 'sh', '-c', script, 'sh', ...inside], { stdio: 'inherit' });
  const ended = once(holder, 'exit');
  stack.defer(async () => {
    holder.kill('SIGKILL');
    await ended;
  });
  const last = join(path, String(ports.at(-1)));
  await eventually(() => canConnect(last), 20_000);
  const owned = stack.move();
  return {
    prefix: ['nsenter', `--net=/proc/${holder.pid}/ns/net`, '--'],
    async forward(port) {
      const server = createServer((here) => {
        const there = connect(join(path, String(port)));
        here.pipe(there).pipe(here);
        here.on('error', () => there.destroy());
        there.on('error', () => here.destroy());
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      owned.defer(() => void server.close());
      return (server.address() as AddressInfo).port;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function canConnect(path: string): Promise<boolean> {
  const socket = connect(path);
  await once(socket, 'connect');
  socket.destroy();
  return true;
}
