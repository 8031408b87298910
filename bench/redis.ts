import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { eventually } from '../test/support/eventually.ts';
import { freePort } from '../test/support/free-port.ts';
import { startOf } from './ending.ts';
import { toolVersion } from './load/run-tool.ts';

/** A private `redis-server` on loopback that keeps nothing; its directory is made below `parent`. */
export function startRedis(parent: string): Promise<{ url: string } & AsyncDisposable> {
  if (toolVersion('redis-server') === null)
    throw new Error('There is no redis-server on the PATH; install one, or leave that row out with --rows.');
  return startOf(async (parts) => {
    const directory = await mkdtemp(join(parent, 'redis-'));
    const port = await freePort();
    const server = spawn(
      'redis-server',
      ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', directory],
      { stdio: 'ignore' },
    );
    const ended = once(server, 'close');
    parts.defer(async () => {
      server.kill('SIGTERM');
      await ended;
    });
    const redis = new Redis(port, '127.0.0.1');
    parts.defer(() => redis.disconnect());
    redis.on('error', () => {});
    await eventually(async () => (await redis.ping()) === 'PONG', 10_000);
    return { url: `redis://127.0.0.1:${port}` };
  });
}
