import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createKeyRing } from '../../../src/db/key-ring.ts';
import { editor, newTenant, startCore } from '../../core/core-app.ts';
import { graphqlClient } from '../graphql-client.ts';

test('an answer has a hundred errors at most, and says how many it leaves out', async () => {
  await using app = await startCore({ worker: false });
  const foreign = createKeyRing([{ id: 'lost', key: randomBytes(32) }], randomBytes(32));
  for (let n = 0; n < 5; n += 1) {
    const { tenant } = await app.core.tenants.create(editor, newTenant());
    const sealed = foreign.seal('ada@example.com', { tenantId: tenant.id, field: 'contactEmail' });
    await app.sql('UPDATE tenants SET contact_email = $2 WHERE id = $1', [tenant.id, sealed]);
  }
  const aliases = (count: number) => Array.from({ length: count }, (_, n) => `a${n}`);
  const ask = async (count: number) => {
    const fields = aliases(count).map((alias) => `${alias}: contactEmail`);
    const { body } = await graphqlClient(app.app).run(
      'admin',
      `{ tenants { nodes { ${fields.join(' ')} } } }`,
    );
    const node = Object.fromEntries(aliases(count).map((alias) => [alias, null]));
    expect(body.data).toEqual({ tenants: { nodes: Array.from({ length: 5 }, () => node) } });
    return body.errors ?? [];
  };
  const lines = () => app.app.logged.filter((line) => line.includes('a GraphQL operation failed')).length;

  const whole = await ask(20);
  expect(whole).toHaveLength(100);
  expect(new Set(whole.map(({ extensions }) => extensions.code))).toEqual(new Set(['INTERNAL']));
  expect(lines()).toBe(100);

  const cut = await ask(25);
  expect(cut).toHaveLength(101);
  expect(cut.at(-1)).toEqual({
    message: '25 more fields failed, and their errors are left out; ask for less at once to hear of all.',
    extensions: { code: 'LIMIT_EXCEEDED' },
  });
  expect(lines()).toBe(200);
});
