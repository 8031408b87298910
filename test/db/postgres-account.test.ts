import { expect, test } from 'vitest';
import { accountIn } from '../../src/db/postgres-account.ts';

const root = 'root:x:0:0:root:/root:/bin/bash';
const nobody = 'nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin';
const postgres = 'postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash';

test.each([
  ['the user postgres', [root, nobody, postgres], { name: 'postgres', uid: 101, gid: 104 }],
  ['nobody where there is no postgres', [root, nobody], { name: 'nobody', uid: 65534, gid: 65533 }],
  ['no one where there is neither', [root], null],
])('PostgreSQL runs as %s', (_who, users, account) => {
  expect(accountIn(users.join('\n'))).toEqual(account);
});
