import { readFile, writeFile } from 'node:fs/promises';
import { buildSchema, findBreakingChanges, printSchema } from 'graphql';
import { createSchema } from '../src/resolvers/schema.ts';

// Writes schema.graphql. With --check it writes nothing and fails when the file is stale, or when the schema breaks what
// callers rely on.
const path = new URL('../schema.graphql', import.meta.url);
const contract = new URL('../test/contract/schema.graphql', import.meta.url);
const schema = createSchema();
const printed = `${printSchema(schema)}\n`;

if (process.argv.includes('--check')) {
  const relied = buildSchema(await readFile(contract, 'utf8'));
  const problems = findBreakingChanges(relied, schema).map(
    ({ description }) => `breaks callers: ${description}`,
  );
  if ((await readFile(path, 'utf8')) !== printed)
    problems.push('schema.graphql is stale; run: npm run generate:schema');
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
} else {
  await writeFile(path, printed);
}
