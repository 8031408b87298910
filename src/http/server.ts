import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { type Certificates, handshakeTimeout } from '../tls/certificates.ts';
import type { GraphqlHandler } from './graphql.ts';
import { type HealthChecks, readHealth } from './health.ts';

export interface HttpServerOptions {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  /** Null: plain text. */
  readonly tls: Certificates | null;
  readonly health: HealthChecks;
  readonly metrics: Pick<Registry, 'metrics' | 'contentType'>;
  /** Whether traffic may come: false while starting and while draining. */
  readonly isReady: () => boolean;
  /** Whether a host name of requests (an IPv6 address in brackets) is one of ours; absent, all are. */
  readonly isOurName?: (hostname: string) => boolean;
  readonly patience?: Patience;
  readonly log: Pick<Logger, 'error'>;
}

/** How long a client may take to send its request and to take its answer, milliseconds. */
export interface Patience {
  readonly headersMs: number;
  /** All of it, headers included. How long its answer takes is up to GraphQL. */
  readonly requestMs: number;
  /** How long nothing may move on a connection: longer than an answer takes to begin, and than a stream is silent. */
  readonly stallMs: number;
  /** How often the connections are looked at. */
  readonly checkMs: number;
}

const usualPatience: Patience = { headersMs: 10_000, requestMs: 30_000, stallMs: 60_000, checkMs: 1_000 };

/** All headers of a request together, bytes; a token is the largest of them. */
const maxHeaderSize = 16 * 1024;

export interface HttpServer extends AsyncDisposable {
  /** @throws when the port cannot be had, with a line that says so */
  listen(): Promise<void>;
  /** The one that it listens on; before that the one that is asked for. */
  readonly port: number;
  /** Opens /graphql; until then, and for good in a process that only works, there is nothing. */
  serve(graphql: GraphqlHandler): void;
  /**
   * Stops accepting, completes the subscriptions and waits for what is in flight; after `deadlineMs` milliseconds the
   * rest is cut.
   */
  drain(deadlineMs: number): Promise<void>;
}

type Route = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** How many addresses of requests are remembered, with what they were read as. */
const maxAddresses = 100;

const notOurName =
  'With --no-auth only localhost, 127.0.0.0/8 and [::1] are answered: call one of these, or accept every name with --insecure.';

/** Serves /live, /health, /ready and /metrics, and /graphql when it is there, as soon as it listens. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { host, port, tls, health, metrics, isReady, isOurName, patience = usualPatience, log } = options;
  const addressOf = addressReader();
  let draining = false;

  const routes = new Map<string, Route>([
    ['/live', get((_request, response) => json(response, 200, { status: 'ok' }))],
    [
      '/ready',
      get((_request, response) => {
        const ready = isReady() && !draining;
        json(response, ready ? 200 : 503, { status: ready ? 'ready' : 'not ready' });
      }),
    ],
    [
      '/health',
      get(async (_request, response) => {
        const state = await readHealth(health);
        json(response, state.status === 'down' ? 503 : 200, state);
      }),
    ],
    [
      '/metrics',
      get(async (_request, response) => {
        const text = await metrics.metrics();
        response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
      }),
    ],
  ]);
  let graphql: GraphqlHandler | null = null;

  const limits: ServerOptions = {
    maxHeaderSize,
    headersTimeout: patience.headersMs,
    requestTimeout: patience.requestMs,
    connectionsCheckingInterval: patience.checkMs,
    // Idle connections outlive the minute that load balancers keep theirs.
    keepAliveTimeout: 65_000,
    keepAliveTimeoutBuffer: 0,
  };
  const respond = (request: IncomingMessage, response: ServerResponse) => {
    if (draining) response.shouldKeepAlive = false;
    const fail = (error: unknown) => {
      // Who went away is not told, nor is it our failure.
      if (response.destroyed) return;
      log.error({ err: error }, 'a request failed');
      if (response.headersSent) response.destroy();
      else json(response, 500, { error: 'The request failed.' });
    };
    try {
      answer(request, response)?.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  const server = tls === null ? createServer(limits, respond) : encrypted(tls, limits, respond);
  // Without a listener Node cuts the connection then. While it is kept for the next request, `keepAliveTimeout` holds.
  server.setTimeout(patience.stallMs);

  function answer(request: IncomingMessage, response: ServerResponse): void | Promise<void> {
    const [path = ''] = request.url?.split('?', 1) ?? [];
    const address = addressOf(`${request.headers.host ?? 'localhost'}${path}`);
    if (address === null) return json(response, 400, { error: 'The address of the request cannot be read.' });
    if (isOurName?.(address.hostname) === false) return json(response, 421, { error: notOurName });
    const route = routes.get(address.pathname);
    if (route === undefined) return json(response, 404, { error: 'There is nothing here.' });
    return route(request, response);
  }

  let boundPort = port;
  let closed: Promise<void> | null = null;
  function drain(deadlineMs: number): Promise<void> {
    draining = true;
    closed ??= new Promise((resolve) => server.close(() => resolve()));
    graphql?.completeSubscriptions();
    server.closeIdleConnections();
    // An answer that had begun before leaves an idle connection behind, once it is sent.
    server.keepAliveTimeout = 1;
    const timer = setTimeout(() => server.closeAllConnections(), deadlineMs);
    return closed.finally(() => clearTimeout(timer));
  }

  return {
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', (error) => reject(listenError(error, host, port)));
        server.listen({ host, port }, () => {
          boundPort = (server.address() as AddressInfo).port;
          resolve();
        });
      }),
    get port() {
      return boundPort;
    },
    serve(handler) {
      graphql = handler;
      routes.set('/graphql', handler.handle);
    },
    drain,
    [Symbol.asyncDispose]: () => drain(0),
  };
}

interface Address {
  readonly hostname: string;
  readonly pathname: string;
}

/** Reads a host with a path. Most requests come to the same few, and to read one costs more than to remember it. */
function addressReader(): (text: string) => Address | null {
  const known = new LRUCache<string, Address>({ max: maxAddresses });
  return (text) => {
    const remembered = known.get(text);
    if (remembered !== undefined) return remembered;
    const address = URL.parse(`http://${text}`);
    if (address !== null) known.set(text, address);
    return address;
  };
}

function encrypted(tls: Certificates, limits: ServerOptions, respond: RequestListener) {
  const server = createTlsServer({ ...limits, ...tls.current(), handshakeTimeout }, respond);
  tls.onChange((context) => server.setSecureContext(context));
  return server;
}

/** The route for GET and HEAD; other methods are refused. */
function get(route: Route): Route {
  return (request, response) => {
    if (request.method === 'GET' || request.method === 'HEAD') return route(request, response);
    response.setHeader('allow', 'GET, HEAD');
    json(response, 405, { error: 'Only GET is answered here.' });
  };
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const reason =
    error.code === 'EADDRINUSE'
      ? 'another program listens there; choose another port with --http-port'
      : error.code === 'EACCES'
        ? 'the port is not allowed; choose one above 1023 with --http-port'
        : error.message;
  return new Error(`Cannot listen for HTTP on ${host}:${port}: ${reason}.`, { cause: error });
}
