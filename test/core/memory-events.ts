import type { ProvisioningEvent } from '../../src/core/model.ts';
import type { EventFeed, EventHistory, FeedListener } from '../../src/core/ports.ts';

/** An event with what matters to watchers; the rest is the same for all. */
export function eventOf(
  event: Pick<ProvisioningEvent, 'tenantId' | 'sequence'> & Partial<ProvisioningEvent>,
): ProvisioningEvent {
  return {
    operationId: '11111111-1111-4111-8111-111111111111',
    kind: 'PROVISION',
    operationState: 'RUNNING',
    step: 'create_role',
    status: 'IN_PROGRESS',
    completedSteps: 0,
    totalSteps: 5,
    message: null,
    tenantStatus: 'PROVISIONING',
    createdAt: new Date(0),
    ...event,
  };
}

export interface MemoryEvents {
  readonly history: EventHistory;
  readonly feed: Pick<EventFeed, 'subscribe'>;
  /** What was committed, oldest first. */
  readonly committed: readonly ProvisioningEvent[];
  /** How many listen. */
  listeners(): number;
  /** How often the history was asked for events. */
  reads(): number;
  /** Writes the events and whether their tenant has unfinished work, at once; nobody is told. */
  commit(events: readonly ProvisioningEvent[], unfinished: boolean): void;
  tell(event: ProvisioningEvent): void;
  resync(): void;
}

/**
 * History and feed in memory, for watchers alone.
 * @param pace awaited before and after each look at the history, so that a test decides what happens in between
 * @param now the history's clock
 */
export function createMemoryEvents(pace: () => Promise<unknown>, now: () => Date): MemoryEvents {
  const committed: ProvisioningEvent[] = [];
  const unfinished = new Map<string, boolean>();
  const listeners = new Set<FeedListener>();
  let reads = 0;

  async function look<T>(snapshot: () => T): Promise<T> {
    await pace();
    const seen = snapshot();
    await pace();
    return seen;
  }

  return {
    committed,
    listeners: () => listeners.size,
    reads: () => reads,
    history: {
      after(tenantId, after, limit) {
        reads += 1;
        return look(() => ({
          events: committed
            .filter((event) => event.tenantId === tenantId && event.sequence > after)
            .slice(0, limit),
          unfinished: unfinished.get(tenantId) === true,
        }));
      },
      since(from, tenantIds, limit) {
        reads += 1;
        return look(() =>
          committed
            .filter((event) => tenantIds === null || tenantIds.includes(event.tenantId))
            .filter((event) => inOrder(from, event) < 0)
            .sort(inOrder)
            .slice(0, limit),
        );
      },
      clock: () => look(now),
    },
    feed: {
      subscribe(listener) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
    commit(events, isUnfinished) {
      committed.push(...events);
      for (const { tenantId } of events) unfinished.set(tenantId, isUnfinished);
    },
    tell: (event) => listeners.forEach((listener) => void listener.event(event)),
    resync: () => listeners.forEach((listener) => void listener.resync()),
  };
}

type Position = Pick<ProvisioningEvent, 'createdAt' | 'tenantId' | 'sequence'>;

/** As PostgreSQL orders the history of all tenants. */
function inOrder(a: Position, b: Position): number {
  return (
    a.createdAt.getTime() - b.createdAt.getTime() ||
    (a.tenantId < b.tenantId ? -1 : a.tenantId > b.tenantId ? 1 : a.sequence - b.sequence)
  );
}
