/**
 * Does `work` at once, and then every `intervalMs`, until it is stopped. It never runs twice at a time: those that wait
 * would take all connections. What it throws goes to `onError`.
 * @returns `first` resolves when it was done once
 */
export function periodically(
  intervalMs: number,
  work: () => Promise<void>,
  onError: (error: unknown) => void,
): { readonly first: Promise<void>; stop(): void } {
  let working = false;
  async function once(): Promise<void> {
    if (working) return;
    working = true;
    try {
      await work();
    } catch (error) {
      onError(error);
    } finally {
      working = false;
    }
  }
  const first = once();
  const timer = setInterval(once, intervalMs);
  return { first, stop: () => clearInterval(timer) };
}
