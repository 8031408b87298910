import { setTimeout as pause } from 'node:timers/promises';

/**
 * Asks again and again until `check` answers something else than false, null or undefined, and throws no more.
 * @param intervalMs how long it pauses before it asks again, milliseconds
 * @returns that answer
 * @throws what `check` threw last, or that it said no to the end, `deadlineMs` milliseconds from now
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  deadlineMs: number,
  intervalMs = 25,
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const late = Date.now() >= deadline;
    try {
      const answer = await check();
      if (isYes(answer)) return answer;
      if (late) throw new Error(`not so within ${deadlineMs} ms: ${check}`);
    } catch (error) {
      if (late) throw error;
    }
    await pause(intervalMs);
  }
}

function isYes<T>(answer: T): answer is Exclude<T, false | null | undefined> {
  return answer !== false && answer !== null && answer !== undefined;
}
