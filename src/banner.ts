import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { App } from './app.ts';
import type { Config } from './config.ts';

/** What a terminal shows when the service is ready: where to go, the token, and a command to paste. */
export async function banner(
  { host, tls }: Config,
  { httpPort, grpcPort, devTokenFile }: Pick<App, 'httpPort' | 'grpcPort' | 'devTokenFile'>,
): Promise<string> {
  const authority = host.includes(':') ? `[${host}]` : host;
  const url = `${tls === null ? 'http' : 'https'}://${authority}:${httpPort}`;
  if (grpcPort === null) return `\n  Worker; health and metrics: ${url}\n\n`;
  const token = devTokenFile === null ? null : (await readFile(devTokenFile, 'utf8')).trim();
  return `
  GraphiQL     ${url}/graphql
  gRPC         ${authority}:${grpcPort}
${token === null ? '' : `  Admin token  ${token}\n`}
  Create a tenant and watch it come up, in another terminal:

${createAndWatch(`${trusting(tls)}${url}/graphql`, devTokenFile === null ? '$TOKEN' : `$(cat ${shellWord(devTokenFile)})`)}

`;
}

/** curl's option for the authority that `npm run certs` leaves beside the certificate. */
function trusting(tls: Config['tls']): string {
  const authority = tls === null ? null : join(dirname(tls.cert), 'ca.pem');
  return authority !== null && existsSync(authority) ? `--cacert ${shellWord(authority)} ` : '';
}

/** Two requests by curl: the first creates a tenant, the second streams its events until it is up. */
function createAndWatch(url: string, token: string): string {
  const create =
    'mutation { createTenant(input: { name: \\"Acme\\", subdomain: \\"acme-\'$(date +%s)\'\\", contactEmail: \\"ops@acme.example\\" }) { ... on CreateTenantPayload { tenant { id } } ... on Error { message } } }';
  const watch =
    'subscription { tenantProvisioning(tenantId: \\"\'$ID\'\\") { sequence step status completedSteps totalSteps tenantStatus } }';
  return [
    `ask() { curl -sN ${url} -H "authorization: Bearer ${token}" -H 'content-type: application/json' "$@"; }`,
    `ID=$(ask -d '{"query":"${create}"}' | grep -oE '[0-9a-f-]{36}')`,
    `ask -H 'accept: text/event-stream' -d '{"query":"${watch}"}'`,
  ].join('\n');
}

/** As a shell reads it: in quotes where it needs them. */
function shellWord(text: string): string {
  return /^[\w./@+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
