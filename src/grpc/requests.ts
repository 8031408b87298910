import type { ServiceDefinition } from '@grpc/grpc-js';
import { ValidationError } from '../core/errors.ts';

/** What callers are told of it. */
export const undecodable = 'The request cannot be decoded; check the message that is sent.';

/** What stands for a request whose bytes could not be read. */
export class UnreadableRequest {}

/**
 * The service, with requests that cannot be decoded handed to the handler as `UnreadableRequest`: grpc-js answers
 * INTERNAL to them, although it is the caller's fault, and neither counts nor authenticates the call.
 */
export function tolerant<S extends ServiceDefinition>(service: S): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => {
      const requestDeserialize = (bytes: Buffer): unknown => {
        try {
          return method.requestDeserialize(bytes);
        } catch {
          return new UnreadableRequest();
        }
      };
      return [name, { ...method, requestDeserialize }];
    }),
  );
}

/** The request. @throws {ValidationError} when its bytes could not be read */
export function readable<Request>(request: Request | UnreadableRequest): Request {
  if (request instanceof UnreadableRequest) {
    throw new ValidationError([{ path: '', message: undecodable }]);
  }
  return request;
}
