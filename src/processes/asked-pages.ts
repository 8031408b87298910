import type { ToChild } from './messages.ts';

/** The first process waits two seconds for each of the others, milliseconds; from one that is well an answer has come by now. */
const patience = 5_000;

/** The pages of metrics that this process has asked the first one for. */
export function createAskedPages(ask: (id: number) => void) {
  const waiting = new Map<number, (text: string | null) => void>();
  let ids = 0;

  return {
    /** The metrics of all processes as text. @throws Error when the first process has none, or does not answer in 5 s */
    async page(): Promise<string> {
      const id = ids++;
      const answer = Promise.withResolvers<string | null>();
      const timer = setTimeout(answer.resolve, patience, null);
      waiting.set(id, answer.resolve);
      try {
        ask(id);
        const text = await answer.promise;
        if (text === null)
          throw new Error('the first process has not answered the metrics: its log says more');
        return text;
      } finally {
        clearTimeout(timer);
        waiting.delete(id);
      }
    },
    /** Takes the answer. */
    receive({ id, text }: Extract<ToChild, { kind: 'page' }>): void {
      waiting.get(id)?.(text);
    },
  };
}
