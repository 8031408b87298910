import { Histogram, type HistogramConfiguration, type LabelValues } from 'prom-client';

/** So many observations wait at most to be counted. */
const batch = 500;

/** Where durations and the like are noted down. */
export interface Observer<Label extends string> {
  observe(labels: LabelValues<Label>, value: number): void;
}

/**
 * A histogram that counts many observations in one go, and the last ones when it is read: looking up the counters of its
 * labels costs several times as much in between, for each one.
 */
export function createBatchedHistogram<Label extends string>(
  configuration: HistogramConfiguration<Label>,
): Observer<Label> {
  const waiting: { readonly labels: LabelValues<Label>; readonly value: number }[] = [];
  const count = () => {
    for (const { labels, value } of waiting.splice(0)) histogram.observe(labels, value);
  };
  const histogram = new Histogram({ ...configuration, collect: count });
  return {
    observe(labels, value) {
      waiting.push({ labels, value });
      if (waiting.length >= batch) count();
    },
  };
}
