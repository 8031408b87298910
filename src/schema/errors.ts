import {
  type DomainError,
  type FieldError,
  IdempotencyConflictError,
  InvalidStateError,
  NotFoundError,
  SubdomainTakenError,
  ValidationError,
  VersionConflictError,
} from '../core/errors.ts';
import type { Builder } from './builder.ts';

/** The errors that a mutation may answer with; `... on Error { code message }` reads them all. */
export function addErrors(builder: Builder) {
  const error = builder.interfaceRef<DomainError>('Error').implement({
    fields: (t) => ({ message: t.exposeString('message'), code: t.exposeString('code') }),
  });
  const interfaces = [error];

  const fieldError = builder.objectRef<FieldError>('FieldError').implement({
    fields: (t) => ({
      path: t.exposeString('path', { description: "The field's name, with dots for nesting." }),
      message: t.exposeString('message'),
    }),
  });
  builder.objectType(ValidationError, {
    name: 'ValidationError',
    interfaces,
    fields: (t) => ({
      fieldErrors: t.field({ type: [fieldError], resolve: ({ fieldErrors }) => fieldErrors }),
    }),
  });
  builder.objectType(NotFoundError, { name: 'NotFoundError', interfaces });
  builder.objectType(SubdomainTakenError, { name: 'SubdomainTakenError', interfaces });
  builder.objectType(VersionConflictError, {
    name: 'VersionConflictError',
    interfaces,
    fields: (t) => ({ currentVersion: t.exposeInt('currentVersion') }),
  });
  builder.objectType(InvalidStateError, { name: 'InvalidStateError', interfaces });
  builder.objectType(IdempotencyConflictError, { name: 'IdempotencyConflictError', interfaces });
}
