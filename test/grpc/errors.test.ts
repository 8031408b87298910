import { status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import {
  ForbiddenError,
  IdempotencyConflictError,
  InvalidStateError,
  LimitExceededError,
  NotFoundError,
  SubdomainTakenError,
  UnauthenticatedError,
  UnavailableError,
  ValidationError,
  VersionConflictError,
} from '../../src/core/errors.ts';
import { BadRequest, ErrorInfo } from '../../src/generated/proto/google/rpc/error_details.ts';
import { Status } from '../../src/generated/proto/google/rpc/status.ts';
import { TenantServiceService } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { statusOf } from '../../src/grpc/errors.ts';
import { startTestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';
import { connect, failureOf } from './grpc-client.ts';

function decoded(error: unknown) {
  const { code, details, metadata } = statusOf(error, 'request-1');
  const [bytes] = metadata.get('grpc-status-details-bin');
  if (!(bytes instanceof Buffer)) throw new Error('no details');
  const { details: parts, ...repeated } = Status.decode(bytes);
  expect(repeated).toEqual({ code, message: details });
  return { code: status[code], message: details, parts };
}

test.each([
  [
    'VALIDATION',
    new ValidationError([{ path: 'name', message: 'must not be empty' }]),
    'INVALID_ARGUMENT',
    'BAD_USER_INPUT',
  ],
  ['unknown', new NotFoundError('tenant'), 'NOT_FOUND', 'NOT_FOUND'],
  ['taken', new SubdomainTakenError('acme'), 'ALREADY_EXISTS', 'SUBDOMAIN_TAKEN'],
  ['stale', new VersionConflictError(1, 2), 'ABORTED', 'VERSION_CONFLICT'],
  ['conflicting', new IdempotencyConflictError(), 'ABORTED', 'IDEMPOTENCY_CONFLICT'],
  ['not allowed in this state', new InvalidStateError('No.'), 'FAILED_PRECONDITION', 'INVALID_STATE'],
  ['without a token', new UnauthenticatedError('No token.'), 'UNAUTHENTICATED', 'UNAUTHENTICATED'],
  ['too low a role', new ForbiddenError('No.'), 'PERMISSION_DENIED', 'FORBIDDEN'],
  ['a limit', new LimitExceededError('Enough.'), 'RESOURCE_EXHAUSTED', 'LIMIT_EXCEEDED'],
  ['database out', new UnavailableError(), 'UNAVAILABLE', 'UNAVAILABLE'],
])('a domain error (%s) is its own status with an ErrorInfo', (_, error, code, reason) => {
  const { parts, ...rest } = decoded(error);
  expect(rest).toEqual({ code, message: error.message });
  const [info] = parts;
  expect(info?.typeUrl).toBe('type.googleapis.com/google.rpc.ErrorInfo');
  expect(info && ErrorInfo.decode(info.value)).toEqual({ reason, domain: 'tenant.v1', metadata: {} });
});

test('field violations carry the names of the proto', () => {
  const { message, parts } = decoded(
    new ValidationError([
      { path: 'contactEmail', message: 'must be an e-mail address' },
      { path: 'name', message: 'must not be empty' },
    ]),
  );
  expect(message).toBe('contact_email must be an e-mail address; name must not be empty');
  const violation = { reason: '', localizedMessage: undefined };
  expect(parts[1] && BadRequest.decode(parts[1].value)).toEqual({
    fieldViolations: [
      { ...violation, field: 'contact_email', description: 'must be an e-mail address' },
      { ...violation, field: 'name', description: 'must not be empty' },
    ],
  });
});

test('an unexpected error is masked, and names the request that the log has', () => {
  const { code, message, parts } = decoded(new Error('password of admin is 1234'));
  expect({ code, message }).toEqual({
    code: 'INTERNAL',
    message: 'Something went wrong on our side; ask about request request-1.',
  });
  expect(parts[0] && ErrorInfo.decode(parts[0].value)).toEqual({
    reason: 'INTERNAL',
    domain: 'tenant.v1',
    metadata: { request_id: 'request-1' },
  });
});

test('a message is one well-formed line, whatever is in it', () => {
  const { message } = decoded(
    new InvalidStateError('two\r\nlines, a bell \u0007 and half a character \ud800.'),
  );
  expect(message).toBe('two lines, a bell   and half a character \ufffd.');
});

test('what breaks below reaches the caller masked, and the log whole, under one request id', async () => {
  await using app = await startTestApp({ worker: false });
  using caller = connect(app.grpcAddress, app.tokens.viewer);
  await asAdministrator(app.administrator, 'ALTER TABLE tenants RENAME COLUMN name TO lost');
  const list = { pageSize: 0, pageToken: '', status: [], tier: '', search: '', deleted: '' };
  const failure = await failureOf(caller.unary(TenantServiceService.listTenants, list));
  expect(failure).toEqual({
    code: 'INTERNAL',
    message: expect.stringMatching(/^Something went wrong on our side; ask about request [0-9a-f-]{36}\.$/),
    reason: 'INTERNAL',
    fields: [],
  });
  const [requestId = 'none'] = failure.message.match(/[0-9a-f-]{36}/) ?? [];
  const [line = ''] = app.logged.filter((logged) => logged.includes(requestId));
  expect(JSON.parse(line)).toMatchObject({
    requestId,
    method: '/tenant.v1.TenantService/ListTenants',
    err: { message: expect.stringContaining('name') },
  });
});
