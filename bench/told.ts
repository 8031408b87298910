import { once } from 'node:events';

// The other end of peer.ts, for the programs.

/** What the parent wants, as JSON that was a `T` there. The program ends when its parent is gone. */
export async function told<T>(): Promise<T> {
  process.once('disconnect', () => process.exit(1));
  const [task]: T[] = await once(process, 'message');
  if (task === undefined) throw new Error('the parent said nothing');
  return task;
}

/** Tells the parent something. */
export function tell(answer: unknown): void {
  process.send?.(answer);
}
