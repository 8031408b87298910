import pg from 'pg';

/** How many statements the process sends to PostgreSQL while `work` runs; nothing else may run beside it. */
export async function countStatements(work: () => Promise<unknown>): Promise<number> {
  // Every connection of the process sends its statements here, also those that were made before.
  const { submit } = pg.Query.prototype;
  let count = 0;
  Reflect.set(pg.Query.prototype, 'submit', function counted(this: pg.Query, ...args: unknown[]) {
    count += 1;
    return Reflect.apply(submit, this, args);
  });
  try {
    await work();
  } finally {
    pg.Query.prototype.submit = submit;
  }
  return count;
}
