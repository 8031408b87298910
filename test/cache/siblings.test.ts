import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { createTenantCache } from '../../src/cache/tenant-cache.ts';
import type { Tenant } from '../../src/core/model.ts';
import type { Relay } from '../../src/core/relay.ts';
import { createLog } from '../../src/log.ts';

// Several processes of one machine without Redis: each remembers for itself, and hears what the others change.

const id = randomUUID();

function tenant(version: number): Tenant {
  const now = new Date();
  const times = { createdAt: now, updatedAt: now, deletedAt: null };
  const names = { name: `Version ${version}`, subdomain: 'first', tier: 'standard' };
  return { id, ...names, status: 'ACTIVE', version, schemaVersion: 1, operationId: null, ...times };
}

/** Two caches over one registry, whose tenant is what `row` says. */
function twoProcesses() {
  const listeners: ((text: string) => void)[] = [];
  const missed: (() => void)[] = [];
  const registry = { row: tenant(1), reads: 0 };
  const process = (number: number) => {
    const relay: Relay = {
      publish: (_channel, text) => listeners[1 - number]?.(text),
      subscribe(_channel, listener) {
        listeners[number] = listener;
      },
      onMissed(listener) {
        missed[number] = listener;
      },
    };
    const find = async () => {
      registry.reads += 1;
      return { ...registry.row };
    };
    return createTenantCache({
      registry: { find, findBySubdomain: find },
      shared: null,
      relay,
      onAnswer: () => {},
      log: createLog('silent', { write: () => {} }),
    });
  };
  return { registry, first: process(0), second: process(1), say: listeners, missed };
}

test('what one process changes the other one reads anew', async () => {
  const { registry, first, second } = twoProcesses();
  await second.find(id);
  first.outdate(id, null);
  registry.row = tenant(2);
  first.outdate(id, 2);
  expect(await second.find(id)).toMatchObject({ version: 2 });
});

test('what was read before the change is not remembered', async () => {
  const { registry, first, second } = twoProcesses();
  const reading = second.find(id);
  first.outdate(id, null);
  registry.row = tenant(2);
  first.outdate(id, 2);
  await reading;
  expect(await second.find(id)).toMatchObject({ version: 2 });
});

test('what may not have been heard is read anew, and what cannot be understood likewise', async () => {
  const { registry, second, say, missed } = twoProcesses();
  await second.find(id);
  await second.find(id);
  expect(registry.reads).toBe(1);
  missed[1]?.();
  await second.find(id);
  expect(registry.reads).toBe(2);
  say[1]?.('nonsense');
  await second.find(id);
  expect(registry.reads).toBe(3);
});
