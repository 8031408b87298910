import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { DomainError, type ErrorCode, LimitExceededError, ValidationError } from '../core/errors.ts';
import {
  BadRequest,
  type BadRequest_FieldViolation,
  ErrorInfo,
} from '../generated/proto/google/rpc/error_details.ts';
import { Status } from '../generated/proto/google/rpc/status.ts';
import { CallError } from './call-error.ts';

const statuses: Readonly<Record<ErrorCode, status>> = {
  BAD_USER_INPUT: status.INVALID_ARGUMENT,
  NOT_FOUND: status.NOT_FOUND,
  SUBDOMAIN_TAKEN: status.ALREADY_EXISTS,
  VERSION_CONFLICT: status.ABORTED,
  IDEMPOTENCY_CONFLICT: status.ABORTED,
  INVALID_STATE: status.FAILED_PRECONDITION,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  FORBIDDEN: status.PERMISSION_DENIED,
  LIMIT_EXCEEDED: status.RESOURCE_EXHAUSTED,
  UNAVAILABLE: status.UNAVAILABLE,
};

const domain = 'tenant.v1';

/** Whether the caller may see what `error` says. */
export function isExpected(error: unknown): error is DomainError | CallError {
  return error instanceof DomainError || error instanceof CallError;
}

/**
 * The status that tells a caller of `error`, with `google.rpc` details. An unexpected error is masked: the answer
 * carries `requestId`, under which the log has the rest.
 */
export function statusOf(error: unknown, requestId: string): StatusObject {
  if (error instanceof CallError) return answer(error.code, error.message, []);
  if (error instanceof ValidationError) {
    const violations = error.fieldErrors.map(({ path, message }) => violation(snakeCase(path), message));
    const message = violations.map(({ field, description }) => `${field} ${description}`.trim()).join('; ');
    return answer(status.INVALID_ARGUMENT, message, [info(error.code), badRequest(violations)]);
  }
  if (error instanceof DomainError) {
    const status = answer(statuses[error.code], error.message, [info(error.code)]);
    // Clients that are told to retry wait so long: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
    if (error instanceof LimitExceededError && error.retryAfterMs !== null)
      status.metadata.set('grpc-retry-pushback-ms', String(Math.ceil(error.retryAfterMs)));
    return status;
  }
  return answer(status.INTERNAL, `Something went wrong on our side; ask about request ${requestId}.`, [
    info('INTERNAL', { request_id: requestId }),
  ]);
}

interface Detail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

function info(reason: string, metadata: Record<string, string> = {}): Detail {
  const value = ErrorInfo.encode({ reason, domain, metadata }).finish();
  return { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value };
}

function badRequest(fieldViolations: BadRequest_FieldViolation[]): Detail {
  const value = BadRequest.encode({ fieldViolations }).finish();
  return { typeUrl: 'type.googleapis.com/google.rpc.BadRequest', value };
}

function violation(field: string, description: string): BadRequest_FieldViolation {
  return { field, description, reason: '', localizedMessage: undefined };
}

/** https://grpc.io/docs/guides/error/#richer-error-model: the details repeat code and message. */
function answer(code: status, message: string, details: Detail[]): StatusObject {
  // One line; and well-formed, since percent-encoding throws at half a character.
  const line = message.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ').toWellFormed();
  const metadata = new Metadata();
  if (details.length > 0) {
    const bytes = Status.encode({ code, message: line, details }).finish();
    metadata.set('grpc-status-details-bin', Buffer.from(bytes));
  }
  return { code, details: line, metadata };
}

/** Core's names of fields are camel-case, the proto's are not. */
function snakeCase(path: string): string {
  return path.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
