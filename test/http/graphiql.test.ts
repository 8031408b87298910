import { expect, test } from 'vitest';
import { graphiqlOptions } from '../../src/http/graphiql.ts';
import { startTestApp } from '../support/app.ts';

test('the page loads nothing from another host', async () => {
  await using app = await startTestApp({ worker: false });
  const response = await fetch(`${app.httpUrl}/graphql`, { headers: { accept: 'text/html' } });
  const page = await response.text();

  expect(response.status).toBe(200);
  expect(page.match(/<(?:script|link|img)\b[^>]*\b(?:src|href)="https?:[^>]*>/g)).toBeNull();
  expect(page).toContain('Put a token in place of TOKEN');
});

test('the headers that it begins with can be sent by a browser', () => {
  expect([...new Headers(JSON.parse(graphiqlOptions.headers))]).toEqual([['authorization', 'Bearer TOKEN']]);
});
