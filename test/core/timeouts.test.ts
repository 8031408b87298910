import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Timeouts } from '../../src/core/timeouts.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('each is called once, when its time is over and not before', () => {
  const timeouts = new Timeouts(100);
  const calls: string[] = [];
  timeouts.start(() => calls.push('first'));
  vi.advanceTimersByTime(60);
  timeouts.start(() => calls.push('second'));
  vi.advanceTimersByTime(39);
  expect(calls).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(calls).toEqual(['first']);
  vi.advanceTimersByTime(59);
  expect(calls).toEqual(['first']);
  vi.advanceTimersByTime(1);
  expect(calls).toEqual(['first', 'second']);
  vi.advanceTimersByTime(1_000);
  expect(calls).toEqual(['first', 'second']);
});

test('what is stopped is not called, and those behind it are in time', () => {
  const timeouts = new Timeouts(100);
  const calls: string[] = [];
  const stopped = timeouts.start(() => calls.push('stopped'));
  vi.advanceTimersByTime(50);
  timeouts.start(() => calls.push('other'));
  stopped[Symbol.dispose]();
  stopped[Symbol.dispose]();
  vi.advanceTimersByTime(100);
  expect(calls).toEqual(['other']);
});

test('one that starts another, and one after a long silence, are in time', () => {
  const timeouts = new Timeouts(100);
  const calls: string[] = [];
  timeouts.start(() => {
    calls.push('first');
    timeouts.start(() => calls.push('second'));
  });
  vi.advanceTimersByTime(200);
  expect(calls).toEqual(['first', 'second']);
  vi.advanceTimersByTime(10_000);
  timeouts.start(() => calls.push('late'));
  vi.advanceTimersByTime(100);
  expect(calls).toEqual(['first', 'second', 'late']);
});
