import type { GraphQLError } from 'graphql';
import type { FetchAPI, Plugin } from 'graphql-yoga';
import { isUnaskedGet } from '../browsers.ts';
import { maxBody } from '../plain-request.ts';
import { refusal } from '../refusal.ts';

/**
 * Refuses what a page of another site sends without asking first, and bodies that are too long or no JSON. JSON alone,
 * for the other types can be sent so. Yoga's own limit wraps every body in a stream and halves the throughput; here only a body without a
 * declared length is counted, for Node holds the others to what they declare.
 */
export function useRequestLimits(corsOrigins: readonly string[]): Plugin {
  return {
    onRequestParse({ request, requestParser, setRequestParser, fetchAPI }) {
      if (request.method === 'GET') {
        if (isUnaskedGet(request.headers, corsOrigins)) throw unasked();
        return refuseUnreadable(new URL(request.url).searchParams);
      }
      if (request.method !== 'POST') return;
      const type = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
      if (type !== 'application/json') {
        throw refusal(415, 'BAD_USER_INPUT', 'Send the request with "content-type: application/json".');
      }
      const length = request.headers.get('content-length');
      if (length !== null) {
        if (Number(length) > maxBody) throw tooLong();
      } else if (requestParser !== undefined) {
        setRequestParser(async (unbounded) => requestParser(await bounded(unbounded, fetchAPI)));
      }
    },
  };
}

/** Yoga would throw what JSON.parse throws, which is nobody's fault but looks like ours. */
function refuseUnreadable(parameters: URLSearchParams): void {
  for (const name of ['variables', 'extensions']) {
    const text = parameters.get(name);
    if (text === null || text === '' || isJson(text)) continue;
    throw refusal(400, 'BAD_USER_INPUT', `The parameter "${name}" must be JSON.`);
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function bounded(request: Request, fetchAPI: FetchAPI): Promise<Request> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    // The rest is read and dropped: whoever still sends would not see the answer.
    if (size <= maxBody) chunks.push(chunk);
  }
  if (size > maxBody) throw tooLong();
  const { method, headers, signal } = request;
  return new fetchAPI.Request(request.url, { method, headers, signal, body: Buffer.concat(chunks) });
}

function unasked(): GraphQLError {
  return refusal(
    403,
    'FORBIDDEN',
    'A page of another site must send a header that browsers ask for first, such as authorization.',
  );
}

function tooLong(): GraphQLError {
  return refusal(413, 'LIMIT_EXCEEDED', `A request may have ${maxBody} bytes.`);
}
