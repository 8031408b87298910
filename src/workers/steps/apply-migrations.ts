import { randomBytes } from 'node:crypto';
import { areRecorded, recordMigrations } from '../migration-ledger.ts';
import type { MigrationScript } from '../migration-script.ts';
import { namedAfter, naming } from '../naming.ts';
import { isWorthRetrying, sqlStateOf } from '../retry-policy.ts';
import { asOwner, becoming } from '../role-admin.ts';
import type { Step, StepContext } from '../step.ts';
import { runApart } from './run-apart.ts';

/** Brings a schema from its version to the newest, without a way back. Files on large tables take their time. */
export const applyMigrations: Step = {
  limitMs: 30 * 60_000,
  isStale: ({ schemaVersion }, { version }) => schemaVersion < version,
  async prepare(context) {
    const scripts = context.migrations.scriptsFrom(context.schemaVersion);
    for (const script of scripts) {
      if (!script.transactional) {
        await context.session((session) => runApart(session, context, script));
        await context.transaction((part) => record(part, script));
      } else if (script !== scripts.at(-1)) {
        await context.transaction((part) => run(part, script));
      }
    }
  },
  async probe({ schemaVersion, sql, migrations }) {
    // Where others have later files, this worker's newest is not the newest.
    if (schemaVersion === migrations.version) await areRecorded(sql, migrations, []);
    return schemaVersion >= migrations.version;
  },
  // What is left here is one script, and usually that is all of it.
  async apply(context) {
    const last = context.migrations.scriptsFrom(context.schemaVersion).at(-1);
    if (last?.transactional) await run(context, last);
  },
};

/** All files of a script, in one round trip; if that fails, one by one, to name the one that does. */
async function run(context: StepContext, script: MigrationScript): Promise<void> {
  const { sql, names } = context;
  const admin = await context.roleAdmin();
  // Whoever takes the right to act as an administrator keeps it from others until the end of the transaction, and files may
  // take long. So that is committed first; nothing else has been written.
  const isOwner = admin?.granted === false;
  if (isOwner) await sql.query(`${becoming(names.owner, admin)} COMMIT AND CHAIN`);
  const { before, after } = isOwner ? { before: '', after: '' } : asOwner(names.owner, admin);
  const asTenant = (text: string) =>
    sql.query(`
      ${before} SET LOCAL search_path TO ${names.schema}; SET LOCAL lock_timeout TO '5s';
      ${asBlock(text)}${after}`);
  // A statement of its own: of a script with wrong syntax not even the first statement is run.
  sql.send('SAVEPOINT script');
  try {
    await asTenant(script.sql);
  } catch (error) {
    if (isWorthRetrying(error) && !isDuplicate(error)) throw namedAfter(script.files, error);
    await sql.query('ROLLBACK TO SAVEPOINT script');
    for (const { file, sql: text } of script.parts) await naming(file, () => asTenant(text));
  }
  // The role, and settings that a file left, would be the next one's who gets this connection.
  sql.reset();
  await record(context, script);
}

/**
 * The SQL of files as one statement that cannot end its transaction. Deferred constraints are checked within it: there
 * the file is known, at the commit it would not be.
 */
function asBlock(text: string): string {
  const tag = () => `$tms_${randomBytes(12).toString('hex')}$`;
  const [outer, inner] = [tag(), tag()];
  return `DO ${outer} BEGIN EXECUTE ${inner}${text}${inner}; SET CONSTRAINTS ALL IMMEDIATE; END ${outer}`;
}

/** Two runners at one row, or rows of a file: worth another try, and the file's name. */
function isDuplicate(error: unknown): boolean {
  return error instanceof Error && sqlStateOf(error) === '23505';
}

/** Notes what the tenant has now. Of two workers that come first with different files, one is refused. */
async function record(context: StepContext, { files }: MigrationScript): Promise<void> {
  const { sql, migrations, note, setSchemaVersion } = context;
  if (!(await areRecorded(sql, migrations, files))) {
    await recordMigrations(sql, files);
    await areRecorded(sql, migrations, files);
  }
  const last = files.at(-1);
  if (last !== undefined) setSchemaVersion(last.version);
  for (const { name } of files) note(`${name} applied`);
}
