import type { IncomingMessage, ServerResponse } from 'node:http';
import { sendNodeResponse } from '@whatwg-node/server';
import type { GraphQLSchema } from 'graphql';
import { createYoga, type YogaServerOptions } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Allowance } from '../core/allowance.ts';
import type { Authenticate } from '../core/core.ts';
import type { ObjectCounter } from '../schema/complexity.ts';
import type { GraphqlContext } from '../schema/context.ts';
import { sendEvents } from './event-stream.ts';
import { graphiqlOptions } from './graphiql.ts';
import { createHotQueries } from './hot-queries.ts';
import type { GraphqlMetrics } from './metrics.ts';
import { useAuthentication } from './plugins/authentication.ts';
import { useCancellation } from './plugins/cancellation.ts';
import { useDocumentLimits } from './plugins/document-limits.ts';
import { createMask, useErrorMasking } from './plugins/error-masking.ts';
import { useLogging } from './plugins/logging.ts';
import { useMetrics } from './plugins/metrics.ts';
import { useObjectLimits } from './plugins/object-limits.ts';
import { useRequestLimits } from './plugins/request-limits.ts';
import { createSubscriptions } from './plugins/subscriptions.ts';
import { type TrustedDocuments, useTrustedDocuments } from './plugins/trusted-documents.ts';
import { createShortPath, type Handler } from './short-path.ts';
import { createTimeLimit } from './time-limit.ts';

export interface GraphqlOptions {
  readonly schema: GraphQLSchema;
  /** What resolvers are given beside the principal. */
  readonly context: Omit<GraphqlContext, 'principal'>;
  readonly authenticate: Authenticate;
  /** How many objects an operation asks for. */
  readonly countObjects: ObjectCounter;
  readonly allowance: Allowance;
  readonly metrics: GraphqlMetrics;
  readonly log: Logger;
  /** How long a query, a mutation or the beginning of a subscription may take, milliseconds. */
  readonly requestLimitMs: number;
  /** Browsers' origins that may call; `*` is all of them, none turns CORS off. */
  readonly corsOrigins: readonly string[];
  /** Whether a browser's GET shows GraphiQL: only in development on loopback. */
  readonly graphiql: boolean;
  /** The documents that browsers may send; null is any. */
  readonly trustedDocuments: TrustedDocuments | null;
  /** Whether documents may ask for the schema: not in production. */
  readonly introspection: boolean;
}

/** What Yoga's plugins are given of Node. */
interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

export interface GraphqlHandler {
  readonly handle: Handler;
  /** Ends every subscription with a `complete` event. */
  completeSubscriptions(): void;
}

/** GraphQL over HTTP, subscriptions by server-sent events. */
export function createGraphqlHandler(options: GraphqlOptions): GraphqlHandler {
  const { schema, context, authenticate, countObjects, allowance, metrics, log } = options;
  const { corsOrigins, graphiql, introspection, trustedDocuments } = options;
  const mask = createMask(log);
  const withinLimit = createTimeLimit(options.requestLimitMs);
  const subscriptions = createSubscriptions({
    active: metrics.subscriptions,
    allowance,
    mask,
    context,
    withinLimit,
  });
  const hotQueries = createHotQueries();

  const yoga = createYoga<Exchange, Omit<GraphqlContext, 'principal'>>({
    schema,
    context,
    plugins: [
      // In the order in which a request meets them.
      useRequestLimits(corsOrigins), // refuses what other sites' pages send, and bodies too long or no JSON, unread
      useMetrics(metrics), // starts the clock before authentication, so that refusals are counted
      useAuthentication(authenticate), // before parsing: strangers learn nothing of the schema
      trustedDocuments !== null && useTrustedDocuments(trustedDocuments), // puts the document in the place of its id
      useDocumentLimits({ introspection }), // before parsing and validating, which cost the more the larger it is
      useObjectLimits(countObjects, allowance), // before anything runs
      useLogging(log), // knows the principal
      useCancellation(withinLimit), // everything inside belongs to the request's signal
      subscriptions.plugin, // runs subscriptions in Yoga's place
      hotQueries.plugin, // what comes here is worth remembering
      useErrorMasking(mask), // sees every result last, also those of refusals above
    ],
    // Ours instead: `useErrorMasking` and `useRequestLimits`.
    maskedErrors: false,
    maxRequestBodySize: false,
    logging: false,
    cors: corsOf(corsOrigins),
    graphiql: graphiql && graphiqlOptions,
    // The page from the package, whole: Yoga's own loads its scripts from a CDN.
    renderGraphiQL: async (options) =>
      (await import('@graphql-yoga/render-graphiql')).renderGraphiQL(options),
    landingPage: false,
    extraParamNames: ['documentId'],
    batching: false,
    multipart: false,
  });

  function send(answer: Response, request: IncomingMessage, response: ServerResponse): void | Promise<void> {
    const results = subscriptions.resultsOf(answer);
    if (results === null) return sendNodeResponse(answer, response, request, true);
    response.setHeaders(answer.headers).writeHead(answer.status);
    // What has read the body would hold it, and Yoga's request, as long as the connection.
    request.removeAllListeners('data').removeAllListeners('error');
    return sendEvents(results, response);
  }

  return {
    handle: createShortPath({
      schema,
      queries: hotQueries,
      context,
      authenticate,
      countObjects,
      allowance,
      metrics,
      mask,
      log,
      withinLimit,
      distinguishes: { origins: corsOrigins.length > 0, browsers: trustedDocuments !== null },
      fetchAPI: yoga.fetchAPI,
      otherwise: (request, response) =>
        // No function that waits for the end of a stream holds the answer.
        Promise.resolve(
          yoga.handleNodeRequestAndResponse(request, response, { req: request, res: response }),
        ).then((answer) => send(answer, request, response)),
    }),
    completeSubscriptions: () => subscriptions.complete(),
  };
}

function corsOf(origins: readonly string[]): YogaServerOptions<object, object>['cors'] {
  if (origins.length === 0) return false;
  return (request) => {
    const origin = request.headers.get('origin');
    // Another origin gets no header at all: Yoga's own list would answer `null`, which is what sandboxed pages are.
    if (origin === null || !(origins.includes('*') || origins.includes(origin))) return false;
    return {
      origin: [...origins],
      methods: ['GET', 'POST'],
      allowedHeaders: ['authorization', 'content-type'],
      // Tokens travel in a header; there are no cookies.
      credentials: false,
      maxAge: 600,
    };
  };
}
