import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { createTenantMemory, tenantLimit } from '../../src/cache/tenant-memory.ts';
import { unknownVersion } from '../../src/cache/version.ts';
import type { Tenant } from '../../src/core/model.ts';

const minute = 60_000;

function tenant(over: Partial<Tenant> = {}): Tenant {
  const id = over.id ?? randomUUID();
  return {
    id,
    name: 'Somebody',
    subdomain: `t-${id.slice(0, 13)}`,
    tier: 'standard',
    status: 'ACTIVE',
    version: 1,
    schemaVersion: 1,
    createdAt: new Date(0),
    updatedAt: new Date(0),
    deletedAt: null,
    operationId: null,
    ...over,
  };
}

test('as many tenants are remembered as there is room for, those that were asked for last', () => {
  const memory = createTenantMemory();
  const tenants = Array.from({ length: tenantLimit + 50 }, () => tenant());
  const [oldest, ...others] = tenants;
  for (const one of tenants.slice(0, tenantLimit)) memory.remember(one, minute);
  expect(memory.find(oldest?.id ?? '')).toBe(oldest);
  for (const one of tenants.slice(tenantLimit)) memory.remember(one, minute);
  expect(memory.find(oldest?.id ?? '')).toBe(oldest);
  expect(others.slice(0, 50).map(({ id }) => memory.find(id))).toEqual(Array(50).fill(undefined));
  expect(tenants.filter(({ id }) => memory.find(id) !== undefined)).toHaveLength(tenantLimit);
});

test('unknown ids drive out no tenants, and each other', () => {
  const memory = createTenantMemory();
  const known = memory.remember(tenant(), minute);
  const ids = Array.from({ length: 5_000 }, () => randomUUID());
  for (const id of ids) memory.rememberAbsent(id, memory.now());
  expect(memory.find(known.id)).toBe(known);
  expect(ids.filter((id) => memory.find(id) === null)).toHaveLength(1_000);
});

test('an unknown subdomain is remembered until anything changes, and not when it was asked for before that', () => {
  const memory = createTenantMemory();
  memory.rememberAbsentSubdomain('nobody', memory.now());
  expect(memory.findBySubdomain('nobody')).toBeNull();
  const moment = memory.now();
  memory.outdate(randomUUID(), 1);
  expect(memory.findBySubdomain('nobody')).toBeUndefined();
  memory.rememberAbsentSubdomain('nobody', moment);
  expect(memory.findBySubdomain('nobody')).toBeUndefined();

  memory.rememberAbsentSubdomain('nobody', memory.now());
  memory.remember(tenant({ subdomain: 'nobody' }), minute);
  memory.clear();
  expect(memory.findBySubdomain('nobody')).toBeUndefined();
  memory.rememberAbsentSubdomain('nobody', moment);
  expect(memory.findBySubdomain('nobody')).toBeUndefined();
});

test('unknown subdomains drive out each other', () => {
  const memory = createTenantMemory();
  const names = Array.from({ length: 5_000 }, (_, n) => `nobody-${n}`);
  for (const name of names) memory.rememberAbsentSubdomain(name, memory.now());
  expect(names.filter((name) => memory.findBySubdomain(name) === null)).toHaveLength(1_000);
});

test('an older version takes no newer one’s place, and the same one leaves the object that is there', () => {
  const memory = createTenantMemory();
  const second = memory.remember(tenant({ version: 2 }), minute);
  const { id } = second;
  expect(memory.remember(tenant({ id, version: 1 }), minute)).toBe(second);
  expect(memory.remember(tenant({ id, version: 2 }), minute)).toBe(second);
  const third = tenant({ id, version: 3 });
  expect(memory.remember(third, minute)).toBe(third);
  expect(memory.find(id)).toBe(third);
});

test('what was read before a change is current when it is as new as that', () => {
  const memory = createTenantMemory();
  const { id } = tenant();
  const moment = memory.now();
  memory.outdate(id, 3);
  memory.outdate(id, 2);
  expect([2, 3, 4].map((version) => memory.isCurrent({ id, version }, moment))).toEqual([false, true, true]);
});

test('while a change is being committed nothing is current, until its version is told', () => {
  const memory = createTenantMemory();
  const { id } = tenant();
  memory.outdate(id, 3);
  memory.outdate(id, unknownVersion);
  expect(memory.isCurrent({ id, version: 1_000_000 }, memory.now())).toBe(false);
  memory.outdate(id, 4);
  expect([3, 4].map((version) => memory.isCurrent({ id, version }, memory.now()))).toEqual([false, true]);
});

test('when too much has changed to know what, nothing is current that was read meanwhile', () => {
  const memory = createTenantMemory();
  const { id } = tenant();
  const moment = memory.now();
  memory.outdate(id, 2);
  for (let n = 0; n < 50_000; n++) memory.outdate(randomUUID(), 2);
  expect(memory.isCurrent({ id, version: 1 }, moment)).toBe(false);
  expect(memory.isCurrent({ id, version: 1 }, memory.now())).toBe(true);
});

test('what is read while everything is forgotten is not current', () => {
  const memory = createTenantMemory();
  const moment = memory.now();
  const known = memory.remember(tenant(), minute);
  memory.clear();
  expect(memory.find(known.id)).toBeUndefined();
  expect(memory.findBySubdomain(known.subdomain)).toBeUndefined();
  expect(memory.isCurrent(known, moment)).toBe(false);
});

test('a subdomain is believed as long as its tenant has it and is live', () => {
  const memory = createTenantMemory();
  const { id, subdomain } = memory.remember(tenant(), minute);
  expect(memory.findBySubdomain(subdomain)?.id).toBe(id);
  memory.remember(tenant({ id, subdomain: 'another', version: 2 }), minute);
  expect(memory.findBySubdomain(subdomain)).toBeUndefined();
  expect(memory.findBySubdomain('another')?.id).toBe(id);
  memory.remember(tenant({ id, subdomain: 'another', version: 3, deletedAt: new Date() }), minute);
  expect(memory.findBySubdomain('another')).toBeUndefined();
});
