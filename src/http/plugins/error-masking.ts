import { randomUUID } from 'node:crypto';
import { isAsyncIterable } from '@envelop/core';
import { GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import { SealedValueError } from '../../core/errors.ts';
import { publicError, rootCause } from '../errors.ts';

/** Errors of a document or its variables; more of them would help nobody. */
const maxRequestErrors = 10;

/** Errors of fields, beside the data: a page of a hundred tenants whose one field fails is told whole. */
const maxFieldErrors = 100;

/** The result as the caller may see it; the same object when it has no errors. */
export type Mask = <R extends object>(result: R, signal: AbortSignal) => R;

/**
 * Shows callers the errors that are meant for them. Everything else becomes INTERNAL with a request id that stands in
 * the log beside the error; no stack trace leaves the process. Which encryption key is missing is said.
 */
export function createMask(log: Logger): Mask {
  function shown(error: unknown, signal: AbortSignal): GraphQLError {
    const known = publicError(error);
    if (known !== null) return known;
    const requestId = randomUUID();
    const { nodes = null, path = null } = error instanceof GraphQLError ? error : {};
    // A client that went away took its statements with it; that they failed is no news.
    const level = signal.aborted ? 'debug' : 'error';
    const cause = rootCause(error);
    log[level]({ err: cause, requestId, path }, 'a GraphQL operation failed');
    return new GraphQLError(
      `${cause instanceof SealedValueError ? cause.message : 'Something went wrong here'}; the log has more under the request id ${requestId}.`,
      {
        nodes,
        path,
        extensions: {
          code: 'INTERNAL',
          requestId,
          ...(path === null && { http: { status: 500, spec: true } }),
        },
      },
    );
  }

  return (result, signal) => {
    const errors: unknown = Reflect.get(result, 'errors');
    if (!Array.isArray(errors) || errors.length === 0) return result;
    // Without data nothing was run: all of these are of the request.
    const ofRequest = Reflect.get(result, 'data') === undefined;
    const some = errors.slice(0, ofRequest ? maxRequestErrors : maxFieldErrors);
    const told = some.map((error) => shown(error, signal));
    // Without this a null whose error is left out would look like a value.
    if (!ofRequest && errors.length > some.length) told.push(andMore(errors.length - some.length));
    return { ...result, errors: told };
  };
}

/** Masks each answer; the results of subscriptions are masked one by one, as they are made. */
export function useErrorMasking(mask: Mask): Plugin {
  return {
    // The last hook that sees a result, whatever made it: parsing, validation, execution or another plugin.
    onResultProcess({ request: { signal }, result, setResult }) {
      if (!isAsyncIterable(result)) setResult(mask(result, signal));
    },
  };
}

function andMore(count: number): GraphQLError {
  return new GraphQLError(
    `${count} more fields failed, and their errors are left out; ask for less at once to hear of all.`,
    { extensions: { code: 'LIMIT_EXCEEDED' } },
  );
}
