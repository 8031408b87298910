import { Counter, Gauge, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createMergedMetrics } from '../../src/processes/merged-metrics.ts';
import type { Child } from '../../src/processes/supervisor.ts';

/** Two processes with a counter that stands at 5 and a gauge that stands at 7. */
function twoProcesses() {
  const children = new Set<Child>();
  const merged = createMergedMetrics(children);
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
  const page = async () => {
    const lines = (await merged.page()).split('\n');
    return lines.filter((line) => line !== '' && !line.startsWith('#')).sort();
  };
  return { children, merged, processes, page };
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
