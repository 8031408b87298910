import type { Logger } from 'pino';
import { AggregatorRegistry } from 'prom-client';
import type { FromChild, MetricsJson } from './messages.ts';
import type { Child } from './supervisor.ts';

/** Who has not answered after this long is taken by what it answered last, milliseconds; reading the database takes one second. */
const patience = 2_000;

/**
 * The metrics of all processes as one page: each metric's `aggregator` says how its values become one.
 *
 * What only grows must not fall when a process dies or hangs: Prometheus would take the rest for new. So of those the
 * last answer counts on.
 */
export function createMergedMetrics(children: ReadonlySet<Child>, log: Pick<Logger, 'error'>) {
  const last = new WeakMap<Child, MetricsJson>();
  let ofTheDead: Promise<MetricsJson> = Promise.resolve([]);
  const waiting = new Map<number, (metrics: MetricsJson) => void>();
  let ids = 0;

  async function ask(child: Child): Promise<MetricsJson> {
    const id = ids++;
    const answer = Promise.withResolvers<MetricsJson>();
    const counted = () => answer.resolve(grown(last.get(child)));
    const timer = setTimeout(counted, patience);
    waiting.set(id, answer.resolve);
    child.send({ kind: 'measure', id });
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      waiting.delete(id);
    }
  }

  /** The text for Prometheus. */
  async function page(): Promise<string> {
    const ready = [...children].filter(({ ports }) => ports !== null);
    const [dead, ...living] = await Promise.all([ofTheDead, ...ready.map(ask)]);
    return merged([...living, dead]).metrics();
  }

  return {
    /** Sends a process the page that it asks for. */
    answer(child: Child, { id }: Extract<FromChild, { kind: 'page' }>): void {
      page()
        .catch((error: unknown) => {
          log.error({ err: error }, 'the metrics of all processes do not make a page');
          return null;
        })
        .then((text) => child.send({ kind: 'page', id, text }));
    },
    /** Takes the answer of a process that was asked. */
    receive(child: Child, { id, metrics }: Extract<FromChild, { kind: 'measured' }>): void {
      last.set(child, metrics);
      waiting.get(id)?.(metrics);
    },
    /** Keeps what a process that has ended had counted when it was asked last. */
    bury(child: Child): void {
      ofTheDead = ofTheDead.then(async (dead) => {
        try {
          return await merged([dead, grown(last.get(child))]).getMetricsAsJSON();
        } catch (error) {
          log.error({ err: error }, 'what a process had counted that died is lost to the metrics');
          return dead;
        }
      });
    },
  };
}

function merged(metrics: readonly MetricsJson[]) {
  return AggregatorRegistry.aggregate(metrics.map((each) => [...each]));
}

function grown(metrics: MetricsJson = []): MetricsJson {
  return metrics.filter(({ type }) => type === 'counter' || type === 'histogram');
}
