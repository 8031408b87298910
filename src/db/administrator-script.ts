import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { openConnection } from './connection.ts';
import type { DatabaseSettings } from './database-settings.ts';

const connecting = { withinMs: 10_000 };

/** The psql variables of `deploy/administrator.sql`. */
export type AdministratorVariables = Readonly<Record<'user' | 'password' | 'name', string>>;

/**
 * Does what the documented `psql -f deploy/administrator.sql` does, by that very file, where there is no psql: it
 * understands just the psql that the file uses. Harmless when it was done before, or half done.
 * @throws Error naming the line when the file uses other psql; DatabaseError when a statement fails.
 */
export async function applyAdministratorScript(
  administrator: DatabaseSettings,
  variables: AdministratorVariables,
): Promise<void> {
  const script = await readFile(new URL('../../deploy/administrator.sql', import.meta.url), 'utf8');
  let client = await openConnection(administrator, connecting);
  try {
    for (const step of parse(script, new Map(Object.entries(variables)))) {
      if (step.kind === 'connect') {
        await client.end();
        client = await openConnection({ ...administrator, database: step.database }, connecting);
        continue;
      }
      const { rows } = await client.query<string[]>({ text: step.sql, rowMode: 'array' });
      if (step.kind === 'execute-result') for (const sql of rows.flat()) await client.query(sql);
    }
  } finally {
    await client.end();
  }
}

type Step =
  | { readonly kind: 'statement' | 'execute-result'; readonly sql: string }
  | { readonly kind: 'connect'; readonly database: string };

/** The script's steps in order, its variables filled in. Comments and commands stand on lines of their own. */
function* parse(script: string, variables: Map<string, string>): Generator<Step> {
  const branches: boolean[] = [];
  let sql = '';
  for (const [index, line] of script.split('\n').entries()) {
    if (/^\s*(--.*)?$/.test(line)) continue;
    const [, command = '', argument = ''] = /^\s*\\(\w+) ?(.*)$/.exec(line) ?? [];
    const inBranch = branches.every((taken) => taken);
    if (command === 'if') branches.push(variables.has(/^:\{\?(\w+)\}$/.exec(argument)?.[1] ?? ''));
    else if (command === 'else') branches.push(!branches.pop());
    else if (command === 'endif') branches.pop();
    else if (!inBranch) continue;
    else if (command === 'set') {
      const [name = '', value = ''] = argument.split(' ');
      variables.set(name, value);
    } else if (command === 'connect') {
      yield { kind: 'connect', database: variables.get(/^:"(\w+)"$/.exec(argument)?.[1] ?? '') ?? argument };
    } else if (command === 'gexec') {
      yield { kind: 'execute-result', sql: fillIn(sql, variables) };
      sql = '';
    } else if (command !== '') {
      throw new Error(`administrator.sql line ${index + 1}: \\${command} is not known here`);
    } else {
      sql += `${line}\n`;
      if (!line.trimEnd().endsWith(';')) continue;
      yield { kind: 'statement', sql: fillIn(sql, variables) };
      sql = '';
    }
  }
}

/** `:'x'` is the variable as a literal, `:"x"` as an identifier. */
function fillIn(sql: string, variables: ReadonlyMap<string, string>): string {
  return sql.replace(/:(['"])(\w+)\1/g, (_, quote: string, name: string) => {
    const value = variables.get(name);
    if (value === undefined) throw new Error(`administrator.sql: the variable ${name} is not set`);
    return quote === "'" ? pg.escapeLiteral(value) : pg.escapeIdentifier(value);
  });
}
