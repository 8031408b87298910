import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createDirectory,
  type Directory,
  devToken,
  processesOn,
  spawnService,
  startService,
} from '../support/process.ts';
import { createTenant, graphql, httpGet, untilActive } from './calls.ts';

let directory: Directory;

beforeAll(async () => {
  directory = await createDirectory();
});

afterAll(() => directory[Symbol.asyncDispose]());

describe('a service on an empty data directory', () => {
  test('comes up, provisions a tenant, goes down without a trace, and is there sooner the next time', async () => {
    const dataDir = join(directory.path, 'made', 'by the service');
    const begun = performance.now();
    let first: number;
    let tenantId: string;
    {
      await using service = await startService({ dataDir });
      first = performance.now() - begun;

      expect(await httpGet(`${service.httpUrl}/live`)).toEqual({ status: 200, body: { status: 'ok' } });
      expect(await httpGet(`${service.httpUrl}/ready`)).toEqual({ status: 200, body: { status: 'ready' } });
      expect(await httpGet(`${service.httpUrl}/health`)).toEqual({
        status: 200,
        body: { status: 'ok', checks: { database: 'up', redis: 'off', worker: 'up' } },
      });

      for (const name of ['dev-token', 'encryption-key', 'auth-secret', 'postgres.json']) {
        expect((await stat(join(dataDir, name))).mode & 0o777, name).toBe(0o600);
      }

      const token = await devToken(dataDir);
      const caller = { url: service.httpUrl, token };
      expect(await graphql({ ...caller, token: 'wrong' }, '{ __typename }')).toMatchObject({
        errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
      });
      tenantId = await createTenant(caller, 'acme');
      await untilActive(caller, tenantId);

      // Not on a terminal: the token is nowhere to be read.
      const output = service.stdout() + service.stderr();
      expect(output).not.toContain(token);
      expect(output).not.toContain('Admin token');
      expect(service.stderr()).toBe('');

      service.signal('SIGTERM');
      expect(await service.end).toMatchObject({ code: 0, stderr: '' });
      expect(await processesOn(dataDir)).toEqual([]);
    }

    // The best of three: others work on the same machine.
    const later: number[] = [];
    for (let start = 1; start <= 3; start++) {
      const again = performance.now();
      await using service = await startService({ dataDir });
      later.push(performance.now() - again);
      await untilActive({ url: service.httpUrl, token: await devToken(dataDir) }, tenantId);
      expect(service.stdout()).not.toContain('the registry was migrated');
      if (start === 3) break;
      service.signal('SIGTERM');
      await service.end;
    }
    expect(Math.min(...later) / first, `${first} ${later}`).toBeLessThan(0.8);
  });

  test('is the only one there: a second one is refused and disturbs nothing', async () => {
    const dataDir = join(directory.path, 'shared');
    await using service = await startService({ dataDir });
    const other = spawnService({ dataDir, args: ['--port=0', '--http-port=0'] });
    const end = await other.end;
    expect(end).toMatchObject({
      code: 2,
      stderr: `the data directory ${dataDir} is in use by process ${service.pid}: stop it, or give another --data-dir\n`,
    });
    const caller = { url: service.httpUrl, token: await devToken(dataDir) };
    await untilActive(caller, await createTenant(caller, 'acme'));
  });
});
