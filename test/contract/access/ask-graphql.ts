import type { TestApp } from '../../support/app.ts';

export interface GraphqlError {
  readonly path?: readonly (string | number)[];
  readonly extensions: { readonly code: string };
}

export interface GraphqlAnswer {
  readonly data?: unknown;
  readonly errors?: readonly GraphqlError[];
}

/**
 * What a document answers; of a subscription, what its stream says first. `meanwhile` is done as soon as it streams, for
 * something to come.
 */
export async function askGraphql(
  { httpUrl }: TestApp,
  token: string | null,
  query: string,
  meanwhile = async (): Promise<unknown> => undefined,
): Promise<GraphqlAnswer> {
  const streams = query.startsWith('subscription');
  const response = await fetch(`${httpUrl}/graphql`, {
    method: 'POST',
    body: JSON.stringify({ query }),
    headers: {
      'content-type': 'application/json',
      accept: streams ? 'text/event-stream' : 'application/json',
      ...(token !== null && { authorization: `Bearer ${token}` }),
    },
  });
  if (!streams) return (await response.json()) as GraphqlAnswer;
  await meanwhile();
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    const data = /^data: (.+)\n/m.exec(text)?.[1];
    // Whoever leaves this loop hangs up.
    if (data !== undefined) return JSON.parse(data) as GraphqlAnswer;
  }
  throw new Error(`the stream said nothing: ${text}`);
}
