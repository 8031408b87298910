import { expect, test } from 'vitest';
import { originOf } from '../../src/core/origin.ts';
import { createRefusalBudget } from '../../src/core/refusal-budget.ts';
import { originOfPeer } from '../../src/grpc/peer.ts';

test.each([
  ['203.0.113.9', '203.0.113.9'],
  ['::ffff:203.0.113.9', '203.0.113.9'],
  ['2001:db8::7', '2001:db8::7'],
  ['fe80::1%eth0', 'fe80::1'],
  [undefined, null],
  ['unknown', null],
  ['/run/socket', null],
])('a socket whose other end is %s', (remote, address) => {
  expect(originOf('GRAPHQL', remote)).toEqual({ transport: 'GRAPHQL', address });
});

test.each([
  ['203.0.113.9:50000', '203.0.113.9'],
  ['::ffff:203.0.113.9:50000', '203.0.113.9'],
  ['2001:db8::7:50000', '2001:db8::7'],
  ['::1:50000', '::1'],
  ['unknown', null],
])('a peer that grpc-js writes as %s', (peer, address) => {
  expect(originOfPeer(peer)).toEqual({ transport: 'GRPC', address });
});

test('refusals are counted for each subject, and from nothing in the next minute', () => {
  const earlier = createRefusalBudget();
  expect([earlier('a', 1_000), earlier('a', 60_999), earlier('b', 60_999)]).toEqual([0, 1, 0]);
  expect([earlier('a', 61_000), earlier('a', 61_001)]).toEqual([0, 1]);
});
