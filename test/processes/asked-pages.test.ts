import { afterEach, expect, test, vi } from 'vitest';
import { createAskedPages } from '../../src/processes/asked-pages.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('each who asks gets the page that answers him', async () => {
  const asked: number[] = [];
  const { page, receive } = createAskedPages((id) => void asked.push(id));
  const pages = [page(), page()];
  for (const id of asked.toReversed()) receive({ kind: 'page', id, text: `page ${id}` });
  expect(await Promise.all(pages)).toEqual(['page 0', 'page 1']);
});

test('a page that the first process does not have fails', async () => {
  const { page, receive } = createAskedPages((id) => receive({ kind: 'page', id, text: null }));
  await expect(page()).rejects.toThrow('has not answered');
});

test('a page that is not answered fails after five seconds, and a later answer is nobody’s', async () => {
  vi.useFakeTimers();
  const { page, receive } = createAskedPages(() => {});
  const failing = expect(page()).rejects.toThrow('has not answered');
  await vi.advanceTimersByTimeAsync(5_000);
  await failing;
  receive({ kind: 'page', id: 0, text: 'late' });
  expect(vi.getTimerCount()).toBe(0);
});
