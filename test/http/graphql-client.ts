import type { Role } from '../../src/core/model.ts';
import type { TestApp } from '../support/app.ts';

export interface Answer {
  readonly status: number;
  readonly body: {
    readonly data?: unknown;
    readonly errors?: readonly { readonly message: string; readonly extensions: Record<string, unknown> }[];
  };
}

export interface StreamedEvent {
  readonly event: string;
  readonly data: unknown;
}

export interface Stream extends AsyncIterable<StreamedEvent>, Disposable {
  next(): Promise<IteratorResult<StreamedEvent, undefined>>;
}

/** GraphQL over HTTP as a browser's `fetch` speaks it. */
export function graphqlClient({ httpUrl, tokens }: Pick<TestApp, 'httpUrl' | 'tokens'>) {
  const url = `${httpUrl}/graphql`;

  function post(
    role: Role | null,
    query: string,
    variables: unknown,
    init: RequestInit = {},
  ): Promise<Response> {
    const headers = new Headers({ 'content-type': 'application/json', accept: 'application/json' });
    if (role !== null) headers.set('authorization', `Bearer ${tokens[role]}`);
    for (const [name, value] of new Headers(init.headers)) headers.set(name, value);
    return fetch(url, { method: 'POST', body: JSON.stringify({ query, variables }), ...init, headers });
  }

  return {
    post,

    /** The whole answer. */
    async run(role: Role | null, query: string, variables: unknown = {}): Promise<Answer> {
      const response = await post(role, query, variables);
      return { status: response.status, body: (await response.json()) as Answer['body'] };
    },

    /** The data; anything wrong is thrown. */
    async data(role: Role, query: string, variables: unknown = {}): Promise<unknown> {
      const { body } = await this.run(role, query, variables);
      if (body.errors) throw new Error(JSON.stringify(body.errors));
      return body.data;
    },

    /** The server-sent events of a subscription, from the moment on at which the server has accepted it. */
    async stream(role: Role, query: string, variables: unknown = {}): Promise<Stream> {
      const abort = new AbortController();
      const response = await post(role, query, variables, {
        signal: abort.signal,
        headers: { accept: 'text/event-stream' },
      });
      const events = eventsOf(response);
      return {
        next: () => events.next(),
        [Symbol.asyncIterator]: () => events,
        [Symbol.dispose]: () => abort.abort(),
      };
    },
  };
}

export type GraphqlClient = ReturnType<typeof graphqlClient>;

/** Comments, which keep the connection alive, are left out. */
async function* eventsOf(response: Response): AsyncGenerator<StreamedEvent, undefined> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: ?(.*)$/m.exec(block)?.[1] ?? '';
      if (event !== undefined) yield { event, data: data === '' ? null : JSON.parse(data) };
    }
  }
}

/** The stream's data until it completes. */
export async function dataOf(stream: Stream, field: string): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const { event, data } of stream) {
    if (event === 'complete') return values;
    values.push(fieldOf(data, field));
  }
  throw new Error('the stream was cut before it was complete');
}

/** The next `count` values of a stream. */
export async function take(stream: Stream, field: string, count: number): Promise<unknown[]> {
  const values: unknown[] = [];
  while (values.length < count) {
    const { value, done } = await stream.next();
    if (done || value.event === 'complete') throw new Error(`the stream ended after ${values.length} values`);
    values.push(fieldOf(value.data, field));
  }
  return values;
}

/** What `field` of a result holds; a result with errors is answered whole. */
function fieldOf(result: unknown, field: string): unknown {
  if (typeof result !== 'object' || result === null || 'errors' in result) return result;
  const data: unknown = Reflect.get(result, 'data');
  return typeof data === 'object' && data !== null ? Reflect.get(data, field) : result;
}
