/** Every code that a caller can meet; each transport has one table from these to its own. */
export type ErrorCode =
  | 'BAD_USER_INPUT'
  | 'NOT_FOUND'
  | 'SUBDOMAIN_TAKEN'
  | 'VERSION_CONFLICT'
  | 'IDEMPOTENCY_CONFLICT'
  | 'INVALID_STATE'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'LIMIT_EXCEEDED'
  | 'UNAVAILABLE';

/** An error whose message is meant for the caller. Anything else that is thrown is masked. */
export abstract class DomainError extends Error {
  abstract readonly code: ErrorCode;
}

/** The code of an error that a caller may know of; null for any other. */
export function codeOf(error: unknown): ErrorCode | null {
  return error instanceof DomainError ? error.code : null;
}

export interface FieldError {
  /** The field's name as callers write it, with dots for nesting. */
  readonly path: string;
  readonly message: string;
}

export class ValidationError extends DomainError {
  readonly code = 'BAD_USER_INPUT';
  readonly fieldErrors: readonly FieldError[];
  constructor(fieldErrors: readonly FieldError[]) {
    super(fieldErrors.map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; '));
    this.fieldErrors = fieldErrors;
  }
}

export class NotFoundError extends DomainError {
  readonly code = 'NOT_FOUND';
  constructor(what: 'tenant' | 'operation' | 'lease') {
    super(
      what === 'lease'
        ? 'There is no such lease; check the id, and whether it was released or has expired.'
        : `There is no such ${what}; check the id, and whether it was deleted.`,
    );
  }
}

export class SubdomainTakenError extends DomainError {
  readonly code = 'SUBDOMAIN_TAKEN';
  constructor(subdomain: string) {
    super(`The subdomain "${subdomain}" belongs to another tenant; choose another one.`);
  }
}

export class VersionConflictError extends DomainError {
  readonly code = 'VERSION_CONFLICT';
  readonly currentVersion: number;
  constructor(expectedVersion: number, currentVersion: number) {
    super(
      `The tenant is at version ${currentVersion}, not ${expectedVersion}; read it again and repeat the change.`,
    );
    this.currentVersion = currentVersion;
  }
}

export class InvalidStateError extends DomainError {
  readonly code = 'INVALID_STATE';
}

export class IdempotencyConflictError extends DomainError {
  readonly code = 'IDEMPOTENCY_CONFLICT';
  constructor() {
    super('This idempotency key was used with another input; use a new key for a new request.');
  }
}

export class UnauthenticatedError extends DomainError {
  readonly code = 'UNAUTHENTICATED';
}

export class ForbiddenError extends DomainError {
  readonly code = 'FORBIDDEN';
}

export class LimitExceededError extends DomainError {
  readonly code = 'LIMIT_EXCEEDED';
  /** When to try again; null when waiting is not what helps. */
  readonly retryAfterMs: number | null;
  constructor(message: string, retryAfterMs: number | null = null) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

export class UnavailableError extends DomainError {
  readonly code = 'UNAVAILABLE';
  constructor(options?: ErrorOptions) {
    super('The database cannot be reached; try again in a moment.', options);
  }
}

/** Whether a token is good cannot be told: it is not the caller who is wrong. */
export class KeysUnavailableError extends DomainError {
  readonly code = 'UNAVAILABLE';
  constructor(options?: ErrorOptions) {
    super('The keys that tokens are checked with cannot be fetched; try again in a moment.', options);
  }
}

/**
 * A value of a tenant cannot be decrypted. Only the operator can mend that, so it is INTERNAL; its message names the key
 * and nothing secret, and may be shown.
 */
export class SealedValueError extends Error {
  /** Null when not even that can be read. */
  readonly keyId: string | null;
  /** Null when the value is the registry's. */
  readonly tenantId: string | null;
  constructor(message: string, keyId: string | null, tenantId: string | null) {
    super(message);
    this.keyId = keyId;
    this.tenantId = tenantId;
  }
}
