const open = new Set<() => Promise<void>>();

/**
 * Lets SIGINT and SIGTERM end what was started, and then this process: a signal unwinds no `await using`, and
 * PostgreSQL has a process group of its own.
 */
export function endOnSignal(): void {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, async () => {
      for (const end of [...open].reverse()) await end().catch(() => {});
      process.exit(code);
    });
  }
}

/**
 * Starts something that consists of parts. They end with it, when its start fails, or at a signal, which waits for the
 * start to be over.
 */
export async function startOf<T extends object>(
  start: (parts: AsyncDisposableStack) => Promise<T>,
): Promise<T & AsyncDisposable> {
  const parts = new AsyncDisposableStack();
  const starting = start(parts);
  let ended: Promise<void> | null = null;
  const end = () => {
    ended ??= Promise.allSettled([starting])
      .then(() => parts.disposeAsync())
      .finally(() => open.delete(end));
    return ended;
  };
  open.add(end);
  try {
    return { ...(await starting), [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}
