import { pino } from 'pino';
import { Counter, Gauge, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createMergedMetrics } from '../../src/processes/merged-metrics.ts';
import type { Child } from '../../src/processes/supervisor.ts';

/** Two processes with a counter that stands at 5 and a gauge that stands at 7. */
function twoProcesses() {
  const children = new Set<Child>();
  const log: string[] = [];
  const merged = createMergedMetrics(children, pino({}, { write: (line: string) => void log.push(line) }));
  let answered: (text: string | null) => void = () => {};
  const processes = ['one', 'other'].map(() => {
    const registry = new Registry();
    const registers = [registry];
    new Counter({ name: 'things_total', help: 'Things.', registers }).inc(5);
    new Gauge({ name: 'open', help: 'Open.', registers }).set(7);
    new Gauge({ name: 'shared', help: 'The same everywhere.', aggregator: 'first', registers }).set(7);
    const process = { hangs: false };
    const child: Child = {
      pid: 1,
      ports: { httpPort: 1, grpcPort: 1 },
      send(message) {
        if (message.kind === 'page') answered(message.text);
        if (message.kind !== 'measure' || process.hangs) return true;
        registry
          .getMetricsAsJSON()
          .then((metrics) => merged.receive(child, { kind: 'measured', id: message.id, metrics }));
        return true;
      },
    };
    children.add(child);
    return { child, process };
  });
  /** What the first process answers to one of them; null: that there is no page. */
  const page = async (asking = processes[0]?.child) => {
    const answer = Promise.withResolvers<string | null>();
    answered = answer.resolve;
    if (asking) merged.answer(asking, { kind: 'page', id: 1 });
    const lines = (await answer.promise)?.split('\n');
    return lines?.filter((line) => line !== '' && !line.startsWith('#')).sort() ?? null;
  };
  return { children, merged, processes, page, log };
}

test('counters and gauges are added up, and what is the same everywhere is not', async () => {
  const { page } = twoProcesses();
  expect(await page()).toEqual(['open 14', 'shared 7', 'things_total 10']);
});

test('of a process that hangs the counters stay, as they were', async () => {
  const { page, processes } = twoProcesses();
  await page();
  for (const { process } of processes.slice(1)) process.hangs = true;
  expect(await page()).toEqual(['open 7', 'shared 7', 'things_total 10']);
});

test('of processes that died the counters stay', async () => {
  const { page, processes, children, merged } = twoProcesses();
  await page();
  for (const [left, { child }] of processes.entries()) {
    children.delete(child);
    merged.bury(child);
    expect(await page()).toEqual(
      left === 0 ? ['open 7', 'shared 7', 'things_total 10'] : ['things_total 10'],
    );
  }
});

/** Has counted nothing that could be added up. */
const broken = [{ type: 'counter' }];

test('metrics that do not make a page are answered as none, and the log says it', async () => {
  const { page, processes, children, merged, log } = twoProcesses();
  const [one, other] = processes;
  if (!one || !other) throw new Error('there are two');
  other.process.hangs = true;
  merged.receive(other.child, { kind: 'measured', id: -1, metrics: broken });
  expect(await page()).toBeNull();
  expect(log.join()).toContain('do not make a page');
  children.delete(other.child);
  expect(await page()).toEqual(['open 7', 'shared 7', 'things_total 5']);
});

test('of a process that died with metrics that cannot be added up nothing stays, and the log says it', async () => {
  const { page, processes, children, merged, log } = twoProcesses();
  const [one, other] = processes;
  if (!one || !other) throw new Error('there are two');
  merged.receive(other.child, { kind: 'measured', id: -1, metrics: broken });
  children.delete(other.child);
  merged.bury(other.child);
  expect(await page()).toEqual(['open 7', 'shared 7', 'things_total 5']);
  expect(log.join()).toContain('is lost to the metrics');
});
