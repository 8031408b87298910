import type { IncomingMessage } from 'node:http';
import { isFromBrowser } from './browsers.ts';

/** Far beyond any operation of this schema, bytes. */
export const maxBody = 256 * 1024;

/** What answers depend on besides. */
export interface Distinctions {
  /** The origin that asks (CORS). */
  readonly origins: boolean;
  /** Whether a browser asks (trusted documents). */
  readonly browsers: boolean;
}

const contentTypes = new Set<string | undefined>(['application/json', 'application/json; charset=utf-8']);

/** What Yoga answers to these values of `accept`, which clients send as they are. */
const mediaTypes = new Map<string | undefined, string>([
  [undefined, 'application/json'],
  ['*/*', 'application/json'],
  ['application/json', 'application/json'],
  ['application/json, text/plain, */*', 'application/json'],
  ['application/graphql-response+json', 'application/graphql-response+json'],
  ['application/graphql-response+json, application/json', 'application/graphql-response+json'],
  ['application/graphql-response+json,application/json;q=0.9', 'application/graphql-response+json'],
]);

export type Variables = Readonly<Record<string, unknown>>;

/** What a request wants to be run. */
export interface Params {
  readonly query: string;
  readonly variables: Variables;
  readonly operationName: string | undefined;
}

/**
 * The media type of the answer to a post of JSON; null when Yoga has to look at the request, and whenever something else
 * than its body and its token decides about the answer.
 */
export function plainMediaType(
  { method, url, headers }: IncomingMessage,
  { origins, browsers }: Distinctions,
): string | null {
  const length = Number(headers['content-length']);
  const isPlain =
    method === 'POST' &&
    url === '/graphql' &&
    contentTypes.has(headers['content-type']) &&
    length > 0 &&
    length <= maxBody &&
    headers['content-encoding'] === undefined &&
    !(origins && headers.origin !== undefined) &&
    !(browsers && isFromBrowser({ has: (name) => headers[name] !== undefined }));
  return isPlain ? (mediaTypes.get(headers.accept) ?? null) : null;
}

/** The whole body; null when the client went away before its end. Node holds it to the length that its headers say. */
export function readBody(request: IncomingMessage): Promise<Buffer | null> {
  return new Promise((resolve) => {
    // A body that came in one packet with its headers is there then. To take it costs a fraction of what the events of a
    // stream do, and all requests that came at once are answered one after the other, in few turns.
    setImmediate(() => {
      const whole: Buffer | null = request.complete ? request.read() : null;
      resolve(whole ?? gatherBody(request));
    });
  });
}

function gatherBody(request: IncomingMessage): Promise<Buffer | null> {
  return new Promise((resolve) => {
    if (request.destroyed) resolve(null);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('close', () => resolve(null));
    // `close` follows.
    request.on('error', () => {});
  });
}

/** Undefined for what is no JSON. */
export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Null for a body that has something else in it, or of another type. */
export function paramsOf(body: unknown): Params | null {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return null;
  const { query, variables, operationName, extensions, ...others }: Record<string, unknown> = { ...body };
  if (typeof query !== 'string' || (extensions ?? undefined) !== undefined) return null;
  if (Object.keys(others).length > 0) return null;
  if (operationName != null && typeof operationName !== 'string') return null;
  if (variables != null && (typeof variables !== 'object' || Array.isArray(variables))) return null;
  return { query, variables: { ...variables }, operationName: operationName ?? undefined };
}
