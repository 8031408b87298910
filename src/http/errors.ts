import { GraphQLError } from 'graphql';
import { DomainError, type ErrorCode, LimitExceededError, ValidationError } from '../core/errors.ts';

/**
 * The HTTP status of a request that failed as a whole, for clients that accept `application/graphql-response+json`;
 * under `application/json` and in streams GraphQL over HTTP says 200.
 */
const statuses: Readonly<Record<ErrorCode, number>> = {
  BAD_USER_INPUT: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  SUBDOMAIN_TAKEN: 409,
  VERSION_CONFLICT: 409,
  IDEMPOTENCY_CONFLICT: 409,
  INVALID_STATE: 409,
  LIMIT_EXCEEDED: 429,
  UNAVAILABLE: 503,
};

/** What was thrown in the end: GraphQL wraps it, once for the place and once more for a stream. */
export function rootCause(error: unknown): unknown {
  return [...chainOf(error)].at(-1);
}

function* chainOf(error: unknown): Generator<unknown, void> {
  yield error;
  if (error instanceof GraphQLError && error.originalError) yield* chainOf(error.originalError);
}

/** The error as callers see it, when it is one that they may see; null when it must be masked. */
export function publicError(error: unknown): GraphQLError | null {
  const cause = rootCause(error);
  const { nodes = null, path = null } = error instanceof GraphQLError ? error : {};
  if (cause instanceof DomainError) {
    return new GraphQLError(cause.message, {
      nodes,
      path,
      extensions: {
        code: cause.code,
        ...(cause instanceof ValidationError && { fieldErrors: cause.fieldErrors }),
        ...(path === null && { http: httpOf(cause.code, retryAfterOf(cause)) }),
      },
    });
  }
  const refusal = cause instanceof GraphQLError ? [...chainOf(error)].find(refusesDocument) : undefined;
  if (refusal === undefined) return null;
  const { message, source = null, positions = null } = refusal;
  // Nothing else of its extensions: a body that is no JSON would be quoted there.
  const { code: theirs, http } = refusal.extensions;
  // The libraries have codes of their own for what is wrong with a request; callers know ours alone.
  const code = isOurs(theirs) ? theirs : 'BAD_USER_INPUT';
  return new GraphQLError(withoutSuggestions(withoutAddresses(message)), {
    nodes,
    source,
    positions,
    path,
    extensions: { code, ...(path === null && { http: theirs === undefined ? httpOf(code) : http }) },
  });
}

/** What callers are told of it when the work refuses them; null when it does not. */
export async function refusalOf(work: void | Promise<void>): Promise<GraphQLError | null> {
  try {
    await work;
    return null;
  } catch (error) {
    const refusal = publicError(error);
    if (refusal === null) throw error;
    return refusal;
  }
}

/**
 * Whether the document or its variables are what is wrong: those errors know their place in the document, or have a
 * code, and know no place in the answer. A value of ours that cannot be written out has none of these.
 */
function refusesDocument(error: unknown): error is GraphQLError {
  return (
    error instanceof GraphQLError &&
    error.path === undefined &&
    (error.nodes !== undefined || error.extensions.code !== undefined)
  );
}

function httpOf(code: ErrorCode, retryAfterMs: number | null = null) {
  const challenge = code === 'UNAUTHENTICATED' && { 'www-authenticate': 'Bearer' };
  // RFC 9110, section 10.2.3: whole seconds.
  const retry = retryAfterMs !== null && { 'retry-after': String(Math.ceil(retryAfterMs / 1_000)) };
  return {
    status: statuses[code],
    spec: true,
    ...((challenge || retry) && { headers: { ...challenge, ...retry } }),
  };
}

function retryAfterOf(error: DomainError): number | null {
  return error instanceof LimitExceededError ? error.retryAfterMs : null;
}

/** GraphQL quotes the value that it could not take; an e-mail address must not travel in an error, in no spelling. */
function withoutAddresses(message: string): string {
  const mayHoldAddress = message.replaceAll(/irective "@\w+"/g, '').includes('@');
  return mayHoldAddress
    ? 'A value cannot be taken; it is left out here, since it may hold an address.'
    : message;
}

/** What graphql-js believes was meant would tell names of the schema to those who guess. */
function withoutSuggestions(message: string): string {
  return message.replace(/ Did you mean .*$/s, '');
}

function isOurs(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(statuses, code);
}
