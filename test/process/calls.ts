import { request } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { eventually } from '../support/eventually.ts';

/** Who asks, and whom. */
export interface Caller {
  /** `http://host:port` */
  readonly url: string;
  readonly token: string;
}

export interface GraphqlAnswer {
  readonly data?: Record<string, unknown> | null;
  readonly errors?: readonly { readonly message: string; readonly extensions: { readonly code: string } }[];
}

/** Of a `ProvisioningEvent` what the tests here look at. */
export interface SeenEvent {
  readonly sequence: number;
  readonly tenantStatus: string;
}

/** The status and the JSON of a GET. */
export async function httpGet(url: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.json() };
}

export async function graphql(
  caller: Caller,
  query: string,
  variables: Record<string, unknown> = {},
): Promise<GraphqlAnswer> {
  const response = await post(caller, { query, variables }, 'application/json');
  return JSON.parse(await response.text());
}

/** Creates a tenant and answers its id. @throws unless it was acknowledged */
export async function createTenant(caller: Caller, subdomain: string): Promise<string> {
  const answer = await graphql(
    caller,
    `mutation ($input: CreateTenantInput!) {
      createTenant(input: $input) { ... on CreateTenantPayload { tenant { id } } ... on Error { code message } }
    }`,
    { input: { name: `Tenant ${subdomain}`, subdomain, contactEmail: `ops@${subdomain}.example` } },
  );
  const [, id] = /"tenant":\{"id":"([^"]+)"/.exec(JSON.stringify(answer)) ?? [];
  if (id === undefined) throw new Error(`the tenant was not created: ${JSON.stringify(answer)}`);
  return id;
}

export async function renameTenant(caller: Caller, id: string, name: string): Promise<GraphqlAnswer> {
  return graphql(
    caller,
    `mutation ($input: UpdateTenantInput!) {
      updateTenant(input: $input) { ... on UpdateTenantPayload { tenant { name } } ... on Error { code message } }
    }`,
    { input: { id, name } },
  );
}

/**
 * Follows a tenant from its first event to the end of its operation.
 * @returns its events
 * @throws unless they are 1, 2, 3 … without a gap and leave the tenant active
 */
export async function untilActive(caller: Caller, tenantId: string): Promise<SeenEvent[]> {
  const stream = await openStream(
    caller,
    `subscription { tenantProvisioning(tenantId: "${tenantId}") { sequence tenantStatus } }`,
  );
  const text = await stream.rest;
  const events = [...text.matchAll(/"tenantProvisioning":(\{[^}]*\})/g)].map(
    ([, json = '']): SeenEvent => JSON.parse(json),
  );
  const gapless = events.length > 0 && events.every(({ sequence }, index) => sequence === index + 1);
  if (!gapless || events.at(-1)?.tenantStatus !== 'ACTIVE' || !completes(text)) {
    throw new Error(`the tenant ${tenantId} did not come up as it should: ${text}`);
  }
  return events;
}

/** The same where another process does the work: without Redis its events are heard of by a timer of ten seconds. */
export async function untilActiveElsewhere(caller: Caller, tenantId: string): Promise<SeenEvent[]> {
  const active = { data: { tenant: { status: 'ACTIVE' } } };
  await eventually(
    async () => isDeepStrictEqual(await graphql(caller, `{ tenant(id: "${tenantId}") { status } }`), active),
    60_000,
  );
  return untilActive(caller, tenantId);
}

/** Whether a stream of server-sent events ended as it should. */
export function completes(text: string): boolean {
  return /(^|\n)event: complete\n/.test(text);
}

/** A stream of server-sent events. */
export interface OpenStream {
  /** What has come until now. */
  soFar(): string;
  /** The text of the whole stream, when that has ended. */
  readonly rest: Promise<string>;
}

/** Opens a subscription; it is open when this resolves. */
export async function openStream(caller: Caller, query: string): Promise<OpenStream> {
  const response = await post(caller, { query }, 'text/event-stream');
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  return { soFar: response.soFar, rest: response.text() };
}

interface Answer {
  readonly status: number;
  soFar(): string;
  text(): Promise<string>;
}

/** By a connection of its own, without fetch's pool: what a test sees depends on no other test. */
function post(
  { url, token }: Caller,
  body: { query: string; variables?: Record<string, unknown> },
  accept: string,
): Promise<Answer> {
  const headers = { accept, authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/graphql`, { method: 'POST', headers, agent: false }, (response) => {
      let all = '';
      const text = (async () => {
        for await (const chunk of response.setEncoding('utf8')) all += chunk;
        return all;
      })();
      text.catch(() => {});
      resolve({ status: response.statusCode ?? 0, soFar: () => all, text: () => text });
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}
