import { z } from 'zod';
import { ValidationError } from '../core/errors.ts';
import { uuid } from '../core/validation.ts';

// A tenant's id is its UUID, the same as over gRPC; the others say what they are.
const operationPrefix = 'operation_';

/** The id of a node: a tenant's UUID as it is, an operation's behind a prefix. */
export function encodeNodeId(typename: string, id: string): string {
  return typename === 'Operation' ? operationPrefix + id : id;
}

/** @throws {ValidationError} when it is no id of a node */
export function decodeNodeId(text: string): { typename: 'Tenant' | 'Operation'; id: string } {
  const isOperation = text.startsWith(operationPrefix);
  const parsed = uuid.safeParse(isOperation ? text.slice(operationPrefix.length) : text);
  if (!parsed.success) throw new ValidationError([{ path: 'id', message: 'is not the id of a node' }]);
  return { typename: isOperation ? 'Operation' : 'Tenant', id: parsed.data };
}

/** The id of any node, as it is. */
export const nodeId = z.string().refine((text) => {
  const bare = text.startsWith(operationPrefix) ? text.slice(operationPrefix.length) : text;
  return uuid.safeParse(bare).success;
}, 'is not the id of a node');

/** At most a page of ids. */
export const nodeIds = z.array(nodeId).max(100, 'must be at most 100 ids');

/** The id of an operation, answered as its UUID. */
export const operationId = z
  .string()
  .refine((text) => text.startsWith(operationPrefix), {
    error: 'must be the id of an operation',
    abort: true,
  })
  .transform((text) => text.slice(operationPrefix.length))
  .pipe(uuid);
