import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { withSchemaEngine } from '../../src/db/schema-engine.ts';
import { asAdministrator, createTestDatabase } from '../support/database.ts';

const schemaFile = join(import.meta.dirname, '../../prisma/schema.prisma');

/** What the migrations add that the schema language cannot say. */
const beyondTheLanguage = [
  'index audit_entries_refused_idx',
  'index operations_failed_idx',
  'index operations_unfinished_key',
  'index registry_single_row_key',
  'index tenants_live_subdomain_key',
  'index tenants_subdomain_prefix_idx',
];

test('the migrations make what prisma/schema.prisma says, and only the named indexes, checks and triggers beside it', async () => {
  await using migrated = await createTestDatabase();
  await using declared = await createTestDatabase();
  await asAdministrator(
    declared.administrator,
    `DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT CREATE, USAGE ON SCHEMA public TO ${declared.settings.user}`,
  );
  await asAdministrator(declared.settings, await sqlOfSchema(declared.settings));

  const [made, said] = await Promise.all([describe(migrated.settings), describe(declared.settings)]);
  expect(made.filter((line) => !said.includes(line)).map(nameOnly)).toEqual(beyondTheLanguage);
  expect(said.filter((line) => !made.includes(line))).toEqual([]);
});

/** The SQL by which Prisma's engine would make the schema on an empty database. */
async function sqlOfSchema(settings: DatabaseSettings): Promise<string> {
  const files = [{ path: 'schema.prisma', content: await readFile(schemaFile, 'utf8') }];
  const { stdout } = await withSchemaEngine(settings, (engine) =>
    engine.diff({
      from: { tag: 'empty' },
      to: { tag: 'schemaDatamodel', files },
      script: true,
      exitCode: null,
      filters: { externalTables: [], externalEnums: [] },
    }),
  );
  if (stdout === null) throw new Error('the engine has no SQL for the schema');
  return stdout;
}

/** Columns, enums, indexes, keys: a line each, with all that Prisma's language can say of them. */
async function describe(settings: DatabaseSettings): Promise<string[]> {
  const { rows } = await asAdministrator(
    settings,
    `SELECT format('column %s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
              CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'NULL' END, pg_get_expr(d.adbin, d.adrelid)) AS line
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> '_prisma_migrations'
     UNION ALL
     SELECT format('enum %s %s', t.typname, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder))
     FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.oid, t.typname
     UNION ALL
     SELECT format('index %s %s', indexname, indexdef) FROM pg_indexes
     WHERE schemaname = 'public' AND tablename <> '_prisma_migrations'
     UNION ALL
     SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'p', 'u')
       AND conrelid IS DISTINCT FROM to_regclass('_prisma_migrations')
     ORDER BY line`,
  );
  return rows.map(({ line }) => line);
}

function nameOnly(line: string): string {
  return line.split(' ').slice(0, 2).join(' ');
}
