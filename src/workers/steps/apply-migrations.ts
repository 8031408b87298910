import { randomBytes } from 'node:crypto';
import { areRecorded, recordMigrations } from '../migration-ledger.ts';
import type { MigrationScript } from '../migration-script.ts';
import { namedAfter, naming } from '../naming.ts';
import { isWorthRetrying, sqlStateOf } from '../retry-policy.ts';
import { asOwner, roleAdminOf } from '../role-admin.ts';
import { PermanentStepError, type Step, type StepContext } from '../step.ts';
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
  async probe(context) {
    const version = await schemaVersion(context);
    // Where others have later files, this worker's newest is not the newest.
    if (version === context.migrations.version) await areRecorded(context.sql, context.migrations, []);
    return version >= context.migrations.version;
  },
  // What is left here is one script, and usually that is all of it.
  async apply(context) {
    for (const script of context.migrations.scriptsFrom(await schemaVersion(context))) {
      await run(context, script);
    }
  },
};

/** All files of a script, in one round trip; if that fails, one by one, to name the one that does. */
async function run(context: StepContext, script: MigrationScript): Promise<void> {
  const { sql, names, registryId } = context;
  const { before, after } = asOwner(names.owner, await roleAdminOf(sql, registryId, names.owner));
  const asTenant = (text: string) =>
    sql.query(`
      ${before} SET LOCAL search_path TO ${names.schema}; SET LOCAL lock_timeout TO '5s';
      ${asBlock(text)}${after}`);
  // A statement of its own: of a script with wrong syntax not even the first statement is run.
  await sql.query('SAVEPOINT script');
  try {
    await asTenant(script.sql);
  } catch (error) {
    if (isWorthRetrying(error) && !isDuplicate(error)) throw namedAfter(script.files, error);
    await sql.query('ROLLBACK TO SAVEPOINT script');
    for (const { file, sql: text } of script.parts) await naming(file, () => asTenant(text));
  }
  // Settings that a file left would be the next one's who gets this connection.
  await sql.reset();
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
  const { sql, tenantId, migrations, note } = context;
  if (!(await areRecorded(sql, migrations, files))) {
    await recordMigrations(sql, files);
    await areRecorded(sql, migrations, files);
  }
  await sql.query('UPDATE tenants SET schema_version = $2 WHERE id = $1', [tenantId, files.at(-1)?.version]);
  for (const { name } of files) note(`${name} applied`);
}

async function schemaVersion({ sql, tenantId }: StepContext): Promise<number> {
  const [tenant] = await sql.query('SELECT schema_version FROM tenants WHERE id = $1', [tenantId]);
  if (typeof tenant?.schema_version !== 'number')
    throw new PermanentStepError('the tenant is not in the registry');
  return tenant.schema_version;
}
