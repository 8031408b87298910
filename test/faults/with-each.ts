/** Does `work` with each item once, with so many at a time. */
export async function withEach<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const workers = Array.from({ length: atOnce }, async () => {
    // One iterator for all of them.
    for (const item of left) await work(item);
  });
  await Promise.all(workers);
}
