/** How long a subject's count lasts, milliseconds. */
const minuteMs = 60_000;

/**
 * Counts the refusals of each subject within a minute. Subjects are those of good tokens and certificates, so there are no
 * more of them than somebody has issued.
 */
export function createRefusalBudget() {
  const spent = new Map<string, number>();
  let endsAt = 0;
  /** @returns how many of this subject's came before, in the minute in which `now` (milliseconds) is */
  return (subject: string, now: number): number => {
    if (now >= endsAt) {
      spent.clear();
      endsAt = now + minuteMs;
    }
    const before = spent.get(subject) ?? 0;
    spent.set(subject, before + 1);
    return before;
  };
}
