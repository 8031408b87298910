import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { expect, test } from 'vitest';
import { authoritiesOf } from '../../src/config/client-tls.ts';
import { packConfig, unpackConfig } from '../../src/config/packed-config.ts';
import type { Config } from '../../src/config.ts';
import { configOf, directory, key, secret } from './invoke.ts';

/** What connections to PostgreSQL and to Redis trust. */
function trusted({ database, redisTls }: Config) {
  if (database.kind === 'embedded' || database.settings.ssl === false || redisTls === null) return null;
  return [database.settings.ssl, redisTls].map(({ secureContext }) => authoritiesOf(secureContext));
}

test.each(['with authorities of its own', 'with those of the system', 'of an embedded database'])(
  'a configuration %s is the same in another process',
  (which) => {
    const documents = join(directory, 'documents.json');
    writeFileSync(documents, '{"a":"{ __typename }"}');
    const ca = join(directory, 'ca.pem');
    writeFileSync(ca, rootCertificates[0] ?? '');
    const own = which === 'with authorities of its own' ? [`--db-ca=${ca}`, `--redis-ca=${ca}`] : [];
    const remote = ['--db-host=db.example.com', '--redis-url=rediss://redis.example.com', ...own];
    const config = configOf([
      ...(which === 'of an embedded database' ? [] : remote),
      `--auth-secret=${secret}`,
      `--encryption-keys=a:${key}`,
      `--trusted-documents=${documents}`,
    ]);
    const other = unpackConfig(structuredClone(packConfig(config)));
    const context = { secureContext: expect.anything() };
    expect(other).toEqual({
      ...config,
      database:
        config.database.kind === 'embedded'
          ? config.database
          : {
              ...config.database,
              settings: { ...config.database.settings, ssl: { ...context, rejectUnauthorized: true } },
            },
      redisTls: config.redisTls && context,
    });
    expect(trusted(other)).toEqual(trusted(config));
  },
);
