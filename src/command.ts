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
    const [line] = (error instanceof Error ? error.message : String(error)).split('\n');
    process.stderr.write(`${line}\n`);
    process.exit(2);
  }
}
