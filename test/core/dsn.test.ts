import { expect, test } from 'vitest';
import { namesDatabase } from '../../src/core/dsn.ts';

const remote = { host: 'db.example.com', port: 6432, database: 'tenant registry' };
const local = { host: '127.0.0.1', port: 5432, database: 'tenant_registry' };

test.each([
  ['a URL', 'postgres://db.example.com:6432/tenant%20registry'],
  ['its other scheme', 'postgresql://db.example.com:6432/tenant%20registry'],
  [
    'with credentials and settings',
    'postgres://u:p%40x@DB.Example.com:6432/tenant%20registry?sslmode=disable',
  ],
  [
    'with the address behind the question mark',
    'postgres:///?host=db.example.com&port=6432&dbname=tenant%20registry',
  ],
  [
    'keywords',
    `host=db.example.com port=6432 dbname='tenant registry' user=admin password='it\\'s' sslmode=disable`,
  ],
  ['keywords with room', ` host = db.example.com\n port = 6432\tdbname = tenant\\ registry `],
  ['twice', `host=db.example.com hostaddr=db.example.com port=6432 dbname='tenant registry'`],
])('%s of the database names it', (_, dsn) => {
  expect(namesDatabase(dsn, remote)).toBe(true);
});

test.each([
  'host=localhost dbname=tenant_registry',
  'postgres://localhost/tenant_registry',
  'postgres://[::1]:5432/tenant_registry',
  'postgres://admin:securepassword@127.0.0.1:5432/tenant_registry?sslmode=disable',
])('the own machine has several names, and a port that need not be said: %s', (dsn) => {
  expect(namesDatabase(dsn, local)).toBe(true);
});

test.each([
  ['another host', 'postgres://db.example.org:6432/tenant%20registry'],
  ['another port', 'postgres://db.example.com/tenant%20registry'],
  ['another database', 'postgres://db.example.com:6432/postgres'],
  ['no database', 'postgres://db.example.com:6432'],
  ['no host', `port=6432 dbname='tenant registry'`],
  ['one host of two', `host=db.example.com,evil.example port=6432 dbname='tenant registry'`],
  ['another address', `host=db.example.com hostaddr=10.0.0.1 port=6432 dbname='tenant registry'`],
  ['another host in the end', 'postgres://db.example.com:6432/tenant%20registry?host=evil.example'],
  ['the own machine', `host=localhost port=6432 dbname='tenant registry'`],
  ['another server', 'mysql://db.example.com:6432/tenant%20registry'],
  ['half an escape', 'postgres://db.example.com:6432/%'],
  ['a quote without an end', `host='db.example.com port=6432`],
  ['nothing that could be read', 'tenant registry'],
])('what names %s does not', (_, dsn) => {
  expect(namesDatabase(dsn, remote)).toBe(false);
});
