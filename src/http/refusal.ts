import { GraphQLError } from 'graphql';
import type { ErrorCode } from '../core/errors.ts';

/** Refuses a request with this HTTP status, whatever the client accepts. */
export function refusal(status: number, code: ErrorCode, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code, http: { status } } });
}

/** Refuses a document; clients that accept `application/json` are answered 200, as GraphQL over HTTP wants it. */
export function documentRefusal(code: ErrorCode, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code, http: { status: 400, spec: true } } });
}
