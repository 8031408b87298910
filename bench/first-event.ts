import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from './cluster.ts';
import { startService } from './service.ts';

/**
 * Creates tenants one at a time, each when the one before is active, while a subscriber follows all of them.
 * @returns for each, milliseconds from the commit of its create (as the server notes it) to the arrival of its first event
 */
export async function firstEventDelays(cluster: Cluster, creates: number): Promise<number[]> {
  await using service = await startService({ cluster, database: 'ours', concurrency: 4 });
  const feed = await service.subscribe(
    'subscription { provisioningFeed { tenantId sequence operationState } }',
  );
  const arrivals = new Map<string, number>();
  let ended = 0;
  let clock = clockOffset();
  feed.on('data', (text: string) => {
    const now = clock + performance.now();
    // An event of the stream may come in two pieces of text only when many come at once, and here one comes at a time.
    for (const [, json = ''] of text.matchAll(/"provisioningFeed":(\{[^}]*\})/g)) {
      const event: { tenantId: string; sequence: number; operationState: string } = JSON.parse(json);
      if (event.sequence === 1) arrivals.set(event.tenantId, now);
      if (event.operationState === 'SUCCEEDED') ended += 1;
    }
  });
  for (let number = 1; number <= creates; number++) {
    clock = clockOffset();
    await service.createTenant(`first-event-${number}`);
    while (ended < number) await once(feed, 'data', { signal: AbortSignal.timeout(30_000) });
    // The worker's last words of that tenant.
    await pause(5);
  }
  feed.destroy();
  const commits = await cluster.query(
    `SELECT tenant_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 * 1000 AS committed
     FROM provisioning_events WHERE sequence = 1`,
    'ours',
  );
  const delays = commits.flatMap(({ tenant_id, committed }) => {
    const arrived = arrivals.get(String(tenant_id));
    return arrived === undefined ? [] : [arrived - Number(committed)];
  });
  if (delays.length !== creates) throw new Error(`${delays.length} of ${creates} first events came`);
  return delays;
}

/** What `performance.now()` lacks of the wall clock, from the moment when that shows another millisecond. */
function clockOffset(): number {
  const before = Date.now();
  let now = before;
  while (now === before) now = Date.now();
  return now - performance.now();
}
