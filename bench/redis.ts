import { startRedisServer } from '../test/support/redis.ts';
import { startOf } from './ending.ts';
import { toolVersion } from './load/run-tool.ts';

/** A private `redis-server` on loopback that keeps nothing. */
export function startRedis(): Promise<{ url: string } & AsyncDisposable> {
  if (toolVersion('redis-server') === null)
    throw new Error('There is no redis-server on the PATH; install one, or leave that row out with --rows.');
  return startOf(async (parts) => ({ url: `redis://127.0.0.1:${await startRedisServer(parts)}` }));
}
