import type { IncomingMessage, ServerResponse } from 'node:http';
import { isAsyncIterable } from '@envelop/core';
import { normalizedExecutor } from '@graphql-tools/executor';
import { type ExecutionResult, GraphQLError, type GraphQLSchema } from 'graphql';
import { type FetchAPI, processRegularResult } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Allowance } from '../core/allowance.ts';
import type { Authenticate } from '../core/core.ts';
import { UnavailableError } from '../core/errors.ts';
import type { Actor, Caller } from '../core/model.ts';
import { originOf } from '../core/origin.ts';
import type { ObjectCounter } from '../schema/complexity.ts';
import type { GraphqlContext } from '../schema/context.ts';
import { refusalOf } from './errors.ts';
import type { HotQueries, HotQuery } from './hot-queries.ts';
import type { GraphqlMetrics } from './metrics.ts';
import {
  type Distinctions,
  type Params,
  paramsOf,
  parseJson,
  plainMediaType,
  readBody,
  type Variables,
} from './plain-request.ts';
import type { Mask } from './plugins/error-masking.ts';
import { logOperation } from './plugins/logging.ts';
import { outcomeOf } from './plugins/metrics.ts';
import { maxObjects } from './plugins/object-limits.ts';
import { createRememberedAnswers, type RememberedAnswer, type Task } from './remembered-answers.ts';
import type { WithinLimit } from './time-limit.ts';

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
  readonly withinLimit: WithinLimit;
  readonly distinguishes: Distinctions;
  readonly fetchAPI: FetchAPI;
  /** Answers all other requests; what was read of one already stands in its `body`. */
  readonly otherwise: Handler;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/**
 * Answers plain JSON posts of queries that came before, past Yoga's layer of fetch objects and hooks, which costs more
 * than most queries. The rules are the same, each in its function that Yoga's plugins call as well; docs/decisions/0024
 * says which requests go here. Whatever is unusual about a request goes to Yoga, before anything has been counted or run.
 */
export function createShortPath(options: ShortPathOptions): Handler {
  const { schema, queries, context, authenticate, allowance, otherwise } = options;
  const answers = createRememberedAnswers(context);

  function objectsOf({ document }: HotQuery, variableValues: Variables): number | null {
    try {
      return options.countObjects({ document, variableValues });
    } catch {
      // The variables do not fit.
      return null;
    }
  }

  /** What of a request is to be run; null when Yoga has to look at it. */
  function taskOf(params: Params | null): Task | null {
    const query = params === null ? null : queries.find(params.query);
    if (params === null || query === null) return null;
    if (params.operationName !== undefined && params.operationName !== query.name) return null;
    const objects = objectsOf(query, params.variables);
    if (objects === null || objects > maxObjects) return null;
    return { query, objects, variables: params.variables };
  }

  /** The answer's text, or a result with errors. Never rejects. */
  async function run(task: Task, principal: Actor & Caller, body: string): Promise<string | ExecutionResult> {
    const { query, variables } = task;
    const observation = answers.observe(query, principal, body);
    try {
      // What Yoga executes with, so that errors are the same.
      const result = await normalizedExecutor({
        schema,
        document: query.document,
        variableValues: variables,
        contextValue: observation?.context ?? { ...context, principal },
      });
      if (isAsyncIterable(result)) throw new TypeError('a query answers once');
      if (result.errors !== undefined) return result;
      const text = JSON.stringify(result);
      observation?.remember(task, text);
      return text;
    } catch (error) {
      return failed(error);
    }
  }

  /** What is remembered, where that is what would be answered now. Never rejects. */
  async function runAgain(
    known: RememberedAnswer,
    principal: Actor & Caller,
    body: string,
  ): Promise<string | ExecutionResult> {
    try {
      if (await answers.isCurrent(known)) return known.text;
    } catch (error) {
      // Execution runs into that as well, and says it in its way.
      if (!(error instanceof UnavailableError)) return failed(error);
    }
    return run(known, principal, body);
  }

  async function callerOf(authorization: string | undefined): Promise<Caller | null> {
    try {
      return await authenticate(authorization);
    } catch {
      // Yoga says why.
      return null;
    }
  }

  async function send(answer: string | ExecutionResult, mediaType: string, response: ServerResponse) {
    if (typeof answer === 'string') {
      response.writeHead(200, {
        'Content-Type': `${mediaType}; charset=utf-8`,
        'Content-Length': Buffer.byteLength(answer),
      });
      response.end(answer);
    } else {
      const masked = options.mask(answer, closing(response));
      const told = processRegularResult(masked, options.fetchAPI, mediaType);
      response.writeHead(told.status, Object.fromEntries(told.headers));
      response.end(await told.text());
    }
  }

  return async (request, response) => {
    const mediaType = plainMediaType(request, options.distinguishes);
    if (mediaType === null) return otherwise(request, response);
    const bytes = await readBody(request);
    if (bytes === null) return;
    const started = performance.now();
    const body = bytes.toString();
    const caller = await callerOf(request.headers.authorization);
    const known = caller && answers.find(caller.role, body);
    const parsed = known ? null : parseJson(body);
    const task = known ?? taskOf(paramsOf(parsed));
    if (caller === null || task === null) {
      return otherwise(Object.assign(request, { body: isRead(parsed) ? parsed : unread(bytes) }), response);
    }

    const refusal = await refusalOf(allowance.spend(caller, task.objects));
    logOperation(options.log, 'a GraphQL operation runs', {
      document: task.query.document,
      contextValue: { principal: caller },
    });
    let answer: string | ExecutionResult;
    if (refusal !== null) answer = { errors: [refusal] };
    else if (known?.pages.length === 0) answer = known.text;
    else {
      const principal = { ...caller, ...originOf('GRAPHQL', request.socket.remoteAddress) };
      const signal = () => closing(response);
      answer = await options.withinLimit(signal, () =>
        known === null ? run(task, principal, body) : runAgain(known, principal, body),
      );
    }
    const outcome = typeof answer === 'string' ? 'ok' : outcomeOf(answer);
    options.metrics.duration.observe(
      { operation_type: 'query', outcome },
      (performance.now() - started) / 1000,
    );
    await send(answer, mediaType, response);
  };
}

/** Whether Yoga's adapter takes this for a body that was read: it is an object that is not empty. */
function isRead(parsed: unknown): boolean {
  return typeof parsed === 'object' && parsed !== null && Object.keys(parsed).length > 0;
}

/** The same for one that is none; Yoga's adapter counts the keys of an object, which bytes have very many of. */
function unread(bytes: Buffer): AsyncIterable<Buffer> & { readonly bytes: Buffer } {
  return {
    bytes,
    async *[Symbol.asyncIterator]() {
      yield bytes;
    },
  };
}

function failed(error: unknown): ExecutionResult {
  return { errors: [new GraphQLError('The query failed.', { originalError: asError(error) })] };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Aborted when the answer cannot go out any more. */
function closing(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const abort = () => response.writableFinished || controller.abort();
  if (response.destroyed) abort();
  else response.once('close', abort);
  return controller.signal;
}
