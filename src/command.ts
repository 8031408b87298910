/**
 * Runs a command of the project to its end: exit code 0, or the one that it answers; 2 with one line when it is refused.
 *
 * The process exits by itself instead of waiting for an empty event loop: the schema engine leaves a timer of ten
 * seconds behind.
 */
export async function runCommand(command: () => Promise<number | undefined>): Promise<never> {
  try {
    process.exit((await command()) ?? 0);
  } catch (error) {
    process.stderr.write(`${lineOf(error)}\n`);
    process.exit(2);
  }
}

/** What is shown of an error to who runs a command. */
export function lineOf(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line;
}
