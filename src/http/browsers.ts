type ReadableHeaders = Pick<Headers, 'get' | 'has'>;

/** Whether a page in a browser sends this; neither header can be left out or made up there (Fetch, section 2.2.2). */
export function isFromBrowser(headers: Pick<Headers, 'has'>): boolean {
  return headers.has('sec-fetch-site') || headers.has('origin');
}

/** The token, and what Apollo's clients and Yoga's send for this purpose. */
const preflighted = ['authorization', 'apollo-require-preflight', 'x-graphql-yoga-csrf'];

/**
 * Whether a page of another site made the browser GET this without asking first: an image does. With a header of its own
 * it is asked for (CORS preflight), and scripts of the origins that are allowed need not be.
 */
export function isUnaskedGet(headers: ReadableHeaders, allowedOrigins: readonly string[]): boolean {
  const site = headers.get('sec-fetch-site');
  if (site !== 'cross-site' && site !== 'same-site') return false;
  if (preflighted.some((name) => headers.has(name))) return false;
  const origin = headers.get('origin');
  return origin === null || !(allowedOrigins.includes('*') || allowedOrigins.includes(origin));
}
