/** One POST to `/graphql`. @returns `data`, whose shape is the query's. @throws when there are errors */
export async function askGraphql<Data>(
  { port, token }: { readonly port: number; readonly token: string },
  body: string,
): Promise<Data> {
  const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json',
    },
    body,
  });
  const text = await response.text();
  const answer: { data: Data; errors?: unknown } = JSON.parse(text);
  if (response.status !== 200 || answer.errors !== undefined)
    throw new Error(`an error was answered: ${text}`);
  return answer.data;
}
