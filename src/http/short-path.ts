import type { IncomingMessage, ServerResponse } from 'node:http';
import { execute, type GraphQLSchema } from 'graphql';
import { type FetchAPI, processRegularResult } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Allowance } from '../core/allowance.ts';
import type { Authenticate } from '../core/core.ts';
import type { Actor, Caller } from '../core/model.ts';
import { originOf } from '../core/origin.ts';
import type { ObjectCounter } from '../schema/complexity.ts';
import type { GraphqlContext } from '../schema/context.ts';
import { refusalOf } from './errors.ts';
import type { HotQueries, HotQuery, Variables } from './hot-queries.ts';
import type { GraphqlMetrics } from './metrics.ts';
import {
  type Distinctions,
  type Params,
  paramsOf,
  parseJson,
  plainMediaType,
  readBody,
} from './plain-request.ts';
import type { Mask } from './plugins/error-masking.ts';
import { logOperation } from './plugins/logging.ts';
import { outcomeOf } from './plugins/metrics.ts';
import { maxObjects } from './plugins/object-limits.ts';
import { withinLimit } from './time-limit.ts';

export interface ShortPathOptions {
  readonly schema: GraphQLSchema;
  readonly queries: Pick<HotQueries, 'find'>;
  readonly context: Omit<GraphqlContext, 'principal'>;
  readonly authenticate: Authenticate;
  readonly countObjects: ObjectCounter;
  readonly allowance: Pick<Allowance, 'spend'>;
  readonly metrics: Pick<GraphqlMetrics, 'duration'>;
  readonly mask: Mask;
  readonly log: Logger;
  readonly requestLimitMs: number;
  readonly distinguishes: Distinctions;
  readonly fetchAPI: FetchAPI;
  /** Answers all other requests; what was read of one already stands in its `body`. */
  readonly otherwise: Handler;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/**
 * Answers plain JSON posts of queries that came before, past Yoga's layer of fetch objects and hooks, which costs more
 * than most queries. The rules are the same and in the same order, each in its function that Yoga's plugins call as well;
 * docs/decisions/0024 says which requests go here. Whatever is unusual about a request goes to Yoga, before
 * anything has been counted or run.
 */
export function createShortPath(options: ShortPathOptions): Handler {
  const { queries, authenticate, allowance, metrics, otherwise } = options;

  function objectsOf({ document }: HotQuery, variableValues: Variables): number | null {
    try {
      return options.countObjects({ document, variableValues });
    } catch {
      // The variables do not fit.
      return null;
    }
  }

  /** What of a request is to be run; null when Yoga has to look at it. Nothing has been counted yet. */
  async function taskOf(request: IncomingMessage, params: Params | null): Promise<Task | null> {
    const query = params === null ? null : queries.find(params.query);
    if (params === null || query === null) return null;
    if (params.operationName !== undefined && params.operationName !== query.name) return null;
    const caller = await authenticate(request.headers.authorization).catch(() => null);
    const objects = objectsOf(query, params.variables);
    if (caller === null || objects === null || objects > maxObjects) return null;
    const actor = { ...caller, ...originOf('GRAPHQL', request.socket.remoteAddress) };
    return { query, variables: params.variables, objects, principal: actor };
  }

  /** Runs what is allowed to its end. */
  async function run({ query, variables, objects, principal }: Task, signal: () => AbortSignal) {
    const refusal = await refusalOf(allowance.spend(principal, objects));
    if (refusal !== null) return { errors: [refusal] };
    const contextValue = () => ({ ...options.context, principal });
    logOperation(options.log, 'a GraphQL operation runs', {
      document: query.document,
      contextValue: { principal },
    });
    return withinLimit(options.requestLimitMs, signal, async () => {
      const result = await query.run(contextValue(), variables);
      if (result.errors === undefined) return result;
      // The compiler's errors are not quite those of graphql-js; a query may run twice.
      const { schema } = options;
      return execute({
        schema,
        document: query.document,
        variableValues: variables,
        contextValue: contextValue(),
      });
    });
  }

  return async (request, response) => {
    const mediaType = plainMediaType(request, options.distinguishes);
    if (mediaType === null) return otherwise(request, response);
    const body = await readBody(request);
    if (body === null) return;
    const started = performance.now();
    const parsed = parseJson(body);
    const task = await taskOf(request, paramsOf(parsed));
    if (task === null) {
      // Yoga's adapter takes what others have read from here, unless it is empty.
      const isRead = typeof parsed === 'object' && parsed !== null && Object.keys(parsed).length > 0;
      return otherwise(Object.assign(request, { body: isRead ? parsed : body }), response);
    }
    const signal = () => closing(response);
    const result = await run(task, signal);
    const outcome = outcomeOf(result);
    metrics.duration.observe({ operation_type: 'query', outcome }, (performance.now() - started) / 1000);
    if (result.errors === undefined) {
      const text = JSON.stringify(result);
      response.writeHead(200, {
        'content-type': `${mediaType}; charset=utf-8`,
        'content-length': Buffer.byteLength(text),
      });
      response.end(text);
    } else {
      const answer = processRegularResult(options.mask(result, signal()), options.fetchAPI, mediaType);
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(await answer.text());
    }
  };
}

interface Task {
  readonly query: HotQuery;
  readonly variables: Variables;
  readonly objects: number;
  readonly principal: Actor & Caller;
}

/** Aborted when the answer has gone out or cannot go out any more. */
function closing(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  if (response.destroyed) controller.abort();
  else response.once('close', () => controller.abort());
  return controller.signal;
}
