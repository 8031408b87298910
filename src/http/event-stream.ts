import type { ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import type { ExecutionResult } from 'graphql';
import type { EndableStream } from './endable-stream.ts';

/** Of GraphQL over server-sent events, "distinct connections mode", as Yoga sends them. */
export const eventStreamHeaders = {
  'content-type': 'text/event-stream',
  connection: 'keep-alive',
  'cache-control': 'no-cache',
  // Keeps proxies from holding back what they would compress.
  'content-encoding': 'none',
};

/** Proxies close connections that are silent for a minute, some sooner. */
const pingIntervalMs = 12_000;
/** How long a client may take to read the end, milliseconds: shorter than a drain. */
const endMs = 5_000;
const ping = ':\n\n';
const complete = 'event: complete\ndata:\n\n';

/** The text of each result, which many subscribers may share. */
const texts = new WeakMap<ExecutionResult, Buffer>();

/**
 * Writes results, behind the headers, as server-sent events (https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md) until there
 * are no more of them. It asks for the next result when the connection has taken the one before. A client that does not
 * read when they have ended is cut.
 */
export async function sendEvents(
  results: EndableStream<ExecutionResult>,
  response: ServerResponse,
): Promise<void> {
  // A peer that is gone without a word is noticed by the system.
  response.socket?.setKeepAlive(true);
  // At once: some browsers wait for a first byte.
  response.write(ping);
  const pinging = setInterval(() => {
    if (!response.writableNeedDrain) response.write(ping);
  }, pingIntervalMs);
  void results.ended.then(() => cutUnlessRead(response));
  try {
    for await (const result of results) {
      if (response.destroyed) return;
      // A turn even so: many events in one go would keep everything else waiting.
      await (response.write(textOf(result)) ? turn() : drained(response));
    }
    response.end(complete);
  } finally {
    clearInterval(pinging);
  }
}

function cutUnlessRead(response: ServerResponse): void {
  if (response.destroyed) return;
  const timer = setTimeout(() => response.destroy(), endMs);
  response.on('close', () => clearTimeout(timer));
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}

function textOf(result: ExecutionResult): Buffer {
  const known = texts.get(result);
  if (known !== undefined) return known;
  const text = Buffer.from(`event: next\ndata: ${JSON.stringify(shown(result))}\n\n`);
  texts.set(result, text);
  return text;
}

/** Without what errors say for the status of an answer. */
function shown(result: ExecutionResult): object {
  const { errors } = result;
  if (errors === undefined) return result;
  return {
    ...result,
    errors: errors.map((error) => {
      const { http: _, ...extensions } = error.extensions;
      return { ...error.toJSON(), extensions };
    }),
  };
}
