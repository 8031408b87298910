import { assertObjectType, type GraphQLSchema } from 'graphql';
import { z } from 'zod';
import { ValidationError } from '../core/errors.ts';
import { auditEntryId, uuid } from '../core/validation.ts';

// A tenant's id is its UUID, the same as over gRPC; the others say what they are.
const operationPrefix = 'operation_';
const auditPrefix = 'audit_';

const nodeTypes = ['Tenant', 'Operation', 'AuditEntry'] as const;

interface NodeName {
  readonly typename: (typeof nodeTypes)[number];
  readonly id: string;
}

/** The id of a node: a tenant's UUID as it is, that of others behind a prefix. */
export function encodeNodeId(typename: string, id: string): string {
  if (typename === 'Operation') return operationPrefix + id;
  return typename === 'AuditEntry' ? auditPrefix + id : id;
}

/**
 * Lets ids be answered at once. Pothos' Relay plugin answers promises, of which a page would have a hundred. Nobody needs
 * a role for them: what shows a node has seen to that.
 */
export function answerIdsAtOnce(schema: GraphQLSchema): void {
  for (const typename of nodeTypes) {
    const { id } = assertObjectType(schema.getType(typename)).getFields();
    if (id === undefined) throw new TypeError(`${typename} has no id`);
    id.resolve = (node: { readonly id: string }) => encodeNodeId(typename, node.id);
  }
}

function parseNodeId(text: string): NodeName | null {
  if (text.startsWith(auditPrefix)) {
    const parsed = auditEntryId.safeParse(text.slice(auditPrefix.length));
    return parsed.success ? { typename: 'AuditEntry', id: parsed.data } : null;
  }
  const isOperation = text.startsWith(operationPrefix);
  const parsed = uuid.safeParse(isOperation ? text.slice(operationPrefix.length) : text);
  return parsed.success ? { typename: isOperation ? 'Operation' : 'Tenant', id: parsed.data } : null;
}

/** @throws {ValidationError} when it is no id of a node */
export function decodeNodeId(text: string): NodeName {
  const name = parseNodeId(text);
  if (name === null) throw new ValidationError([{ path: 'id', message: 'is not the id of a node' }]);
  return name;
}

/** The id of any node, as it is. */
export const nodeId = z.string().refine((text) => parseNodeId(text) !== null, 'is not the id of a node');

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
