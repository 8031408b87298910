import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import pino from 'pino';
import { describe, expect, test } from 'vitest';
import { closeRedis, connectRedis } from '../../src/redis/redis-connection.ts';
import { createTestAuthority, opensslMissing } from '../support/certificates.ts';
import { redisProgramMissing, startEncryptedRedis } from '../tls/encrypted-servers.ts';

const missing = opensslMissing ?? redisProgramMissing;
if (missing !== null) console.warn(missing);

const log = pino({ enabled: false });

describe.skipIf(missing !== null)('a connection to Redis whose certificate is refused', () => {
  test('ends in the middle of its handshake without a complaint that nobody hears', async () => {
    await using parts = new AsyncDisposableStack();
    const authority = parts.use(await createTestAuthority());
    const port = await startEncryptedRedis(parts, await authority.issue('server'));
    const tls = { secureContext: createSecureContext({ ca: [] }) };
    const server = { url: `rediss://localhost:${port}`, tls };
    const redis = parts.adopt(connectRedis(server, 'publisher', log), closeRedis);
    // `once` would end with the first complaint.
    const ended = new Promise((resolve) => redis.once('end', resolve));
    // The attempt begins, and has a stream in a moment.
    await once(redis, 'connecting');
    await setImmediate();
    const complaints: unknown[] = [];
    redis.stream.on('error', (error) => complaints.push(error));
    // The server is reached, TLS not yet agreed.
    redis.stream.once('connect', () => closeRedis(redis));
    await ended;
    expect(complaints).toEqual([]);
  });

  test('ends before its first attempt', async () => {
    const redis = connectRedis({ url: 'redis://127.0.0.1:1', tls: null }, 'publisher', log);
    const ended = once(redis, 'end');
    closeRedis(redis);
    await ended;
    expect(redis.stream).toBeUndefined();
  });
});
