import { describe, expect, test } from 'vitest';
import { InvalidStateError, NotFoundError } from '../../src/core/errors.ts';
import type { OperationKind, OperationState } from '../../src/core/model.ts';
import { type AccessFacts, requireAccess } from '../../src/core/tenant-access.ts';

/** A tenant that is up. */
const up: AccessFacts = {
  status: 'ACTIVE',
  deletedAt: null,
  operation: { kind: 'PROVISION', state: 'SUCCEEDED' },
};
const newest = (kind: OperationKind, state: OperationState) => ({ ...up, operation: { kind, state } });

const refusalOf = (tenant: AccessFacts | null) => () => requireAccess(tenant);

describe('in a tenant’s schema', () => {
  test.each<[string, AccessFacts]>([
    ['is up', up],
    ['was resumed', newest('RESUME', 'SUCCEEDED')],
    ['was to be suspended, which was cancelled', newest('SUSPEND', 'CANCELLED')],
    ['is being migrated', newest('MIGRATE', 'RUNNING')],
    ['could not be migrated', newest('MIGRATE', 'FAILED')],
    ['never had an operation', { ...up, operation: null }],
  ])('work may be done while it %s', (_, tenant) => {
    expect(refusalOf(tenant)).not.toThrow();
  });

  test('no work is done when it is unknown or deleted, whatever else it is', () => {
    expect(refusalOf(null)).toThrow(new NotFoundError('tenant'));
    expect(refusalOf({ ...newest('DELETE', 'PENDING'), deletedAt: new Date() })).toThrow(
      new NotFoundError('tenant'),
    );
  });

  test.each(
    (['PROVISION', 'SUSPEND', 'RESUME', 'DELETE', 'RESTORE'] as const).flatMap((kind) =>
      (['PENDING', 'RUNNING'] as const).map((state) => [kind, state] as const),
    ),
  )('no work is done while its %s is %s', (kind, state) => {
    expect(refusalOf(newest(kind, state))).toThrow(
      new InvalidStateError(
        `The tenant's ${kind} operation is not finished; wait for its end and try again.`,
      ),
    );
  });

  test.each(['PROVISION', 'SUSPEND', 'RESUME', 'RESTORE'] as const)(
    'no work is done when its %s has failed',
    (kind) => {
      expect(refusalOf(newest(kind, 'FAILED'))).toThrow(
        new InvalidStateError(`The tenant's ${kind} operation failed; retry it or cancel it, and try again.`),
      );
    },
  );

  test.each([
    ['PROVISIONING', 'The tenant is not provisioned; wait until it is active.'],
    ['INACTIVE', 'The tenant is suspended; resume it first.'],
    ['ERROR', 'The tenant was not provisioned; delete it, or mend it first.'],
  ] as const)('no work is done while it is %s', (status, message) => {
    expect(refusalOf({ ...up, status })).toThrow(new InvalidStateError(message));
    expect(refusalOf({ ...newest('MIGRATE', 'RUNNING'), status })).toThrow(new InvalidStateError(message));
  });
});
