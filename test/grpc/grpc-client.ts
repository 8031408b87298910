import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { BadRequest, ErrorInfo } from '../../src/generated/proto/google/rpc/error_details.ts';
import { Status } from '../../src/generated/proto/google/rpc/status.ts';

export interface CallOptions {
  readonly metadata?: readonly (readonly [string, string])[];
  /** Milliseconds from now. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** How a call failed, with what its details say. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  /** `ErrorInfo.reason`. */
  readonly reason: string | null;
  readonly fields: readonly string[];
}

export type Caller = ReturnType<typeof connect>;

/** A connection of a caller with this token, or without one; in plain text unless it is told otherwise. */
export function connect(
  address: string,
  token: string | null,
  channel: ChannelCredentials = credentials.createInsecure(),
) {
  // Of its own: grpc-js shares connections between clients otherwise.
  const client = new Client(address, channel, { 'grpc.use_local_subchannel_pool': 1 });

  function metadataOf({ metadata = [] }: CallOptions): Metadata {
    const sent = new Metadata();
    if (token !== null) sent.set('authorization', `Bearer ${token}`);
    for (const [key, value] of metadata) sent.add(key, value);
    return sent;
  }

  const optionsOf = ({ timeoutMs }: CallOptions) =>
    timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };

  return {
    /** @throws {ServiceError} */
    unary<Request, Response>(
      method: MethodDefinition<Request, Response>,
      request: Request,
      options: CallOptions = {},
    ): Promise<Response> {
      return new Promise((resolve, reject) => {
        const call = client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          metadataOf(options),
          optionsOf(options),
          (error, response) => {
            if (error !== null) reject(error);
            else if (response === undefined) reject(new Error('neither error nor response'));
            else resolve(response);
          },
        );
        options.signal?.addEventListener('abort', () => call.cancel());
      });
    },
    /** The stream; iterate it, which throws a `ServiceError` when it fails. */
    stream<Request, Response>(
      method: MethodDefinition<Request, Response>,
      request: Request,
      options: CallOptions = {},
    ): ClientReadableStream<Response> {
      return client.makeServerStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadataOf(options),
        optionsOf(options),
      );
    },
    [Symbol.dispose]: () => client.close(),
  };
}

/** How `call` fails; it is an error when it does not. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    if (isServiceError(error)) return describe(error);
    throw error;
  }
  throw new Error('the call did not fail');
}

/** All messages of a stream. @throws {ServiceError} */
export async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const messages: T[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

/** The next message of a stream that is read piece by piece. */
export async function next<T>(iterator: AsyncIterator<T>): Promise<T> {
  const { value, done } = await iterator.next();
  if (done) throw new Error('the stream ended');
  return value;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
}

function describe({ code, details, metadata }: ServiceError): Failure {
  let reason: string | null = null;
  let fields: string[] = [];
  const [bytes] = metadata.get('grpc-status-details-bin');
  if (bytes instanceof Buffer) {
    const decoded = Status.decode(bytes);
    if (decoded.code !== code || decoded.message !== details)
      throw new Error('the details contradict the status');
    for (const { typeUrl, value } of decoded.details) {
      if (typeUrl.endsWith('/google.rpc.ErrorInfo')) reason = ErrorInfo.decode(value).reason;
      if (typeUrl.endsWith('/google.rpc.BadRequest')) {
        fields = BadRequest.decode(value).fieldViolations.map(({ field }) => field);
      }
    }
  }
  return { code: status[code], message: details, reason, fields };
}
