import type { status } from '@grpc/grpc-js';

/** A status that no domain error stands for: what the transport itself has to say. */
export class CallError extends Error {
  readonly code: status;
  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}
