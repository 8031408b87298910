import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createBatchedHistogram } from '../src/batched-histogram.ts';

test('every observation is counted, those in the last batch when somebody looks', async () => {
  const registry = new Registry();
  const histogram = createBatchedHistogram({
    name: 'seconds',
    help: 'Seconds.',
    labelNames: ['kind'],
    buckets: [1, 2],
    registers: [registry],
  });
  for (let n = 0; n < 1_203; n++)
    histogram.observe({ kind: n % 3 === 0 ? 'a' : 'b' }, n % 2 === 0 ? 0.5 : 1.5);
  const page = await registry.metrics();
  expect(page).toContain('seconds_count{kind="a"} 401');
  expect(page).toContain('seconds_count{kind="b"} 802');
  expect(page).toContain('seconds_bucket{le="1",kind="b"} 401');
  // As processes tell each other.
  histogram.observe({ kind: 'a' }, 5);
  expect(JSON.stringify(await registry.getMetricsAsJSON())).toContain('"value":402');
});
