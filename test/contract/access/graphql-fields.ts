import { randomUUID } from 'node:crypto';
import { type GraphQLObjectType, type GraphQLSchema, getNamedType, isLeafType, isObjectType } from 'graphql';
import { roles } from '../../../src/core/model.ts';
import type { TestApp } from '../../support/app.ts';
import { askGraphql, type GraphqlAnswer } from './ask-graphql.ts';
import { type AccessBed, allAlike, row } from './callers.ts';
import { type Kind, type KnownTenant, tenantThatIs } from './tenants.ts';

/** How one comes to an object of a type. */
interface Way {
  /** What the tenant of the document must be. */
  readonly of: Kind;
  /** `$…` stand for the tenant's facts and for the selection; the selection's place is found by its path in the answer. */
  readonly document: string;
  readonly path: readonly string[];
}

const way = (of: Kind, document: string, ...path: string[]): Way => ({ of, document, path });
const query = (document: string, ...path: string[]) => way('active', document, ...path);
/** A mutation whose answer is of the type. */
const mutation = (of: Kind, type: string, name: string, args: string) =>
  way(of, `mutation { ${name}(${args}) { ... on ${type} { $selection } } }`, name);
const fresh = 'name: "New", contactEmail: "new@example.com"';

const ways: Readonly<Record<string, Way>> = {
  Tenant: query('{ tenant(id: $id) { $selection } }', 'tenant'),
  TenantPool: query('{ tenant(id: $id) { pool { $selection } } }', 'tenant', 'pool'),
  Operation: query('{ operation(id: $operation) { $selection } }', 'operation'),
  OperationStep: query('{ operation(id: $operation) { steps { $selection } } }', 'operation', 'steps'),
  QueryTenantsConnection: query('{ tenants { $selection } }', 'tenants'),
  QueryTenantsConnectionEdge: query('{ tenants { edges { $selection } } }', 'tenants', 'edges'),
  PageInfo: query('{ tenants { pageInfo { $selection } } }', 'tenants', 'pageInfo'),
  TenantOperationsConnection: query(
    '{ tenant(id: $id) { operations { $selection } } }',
    'tenant',
    'operations',
  ),
  TenantOperationsConnectionEdge: query(
    '{ tenant(id: $id) { operations { edges { $selection } } } }',
    'tenant',
    'operations',
    'edges',
  ),
  AuditEntry: query('{ auditLog { nodes { $selection } } }', 'auditLog', 'nodes'),
  QueryAuditLogConnection: query('{ auditLog { $selection } }', 'auditLog'),
  QueryAuditLogConnectionEdge: query('{ auditLog { edges { $selection } } }', 'auditLog', 'edges'),
  ProvisioningEvent: way(
    'pending',
    'subscription { tenantProvisioning(tenantId: $id) { $selection } }',
    'tenantProvisioning',
  ),

  CreateTenantPayload: mutation(
    'active',
    'CreateTenantPayload',
    'createTenant',
    `input: { ${fresh}, subdomain: $new }`,
  ),
  UpdateTenantPayload: mutation(
    'active',
    'UpdateTenantPayload',
    'updateTenant',
    'input: { id: $id, name: "Other" }',
  ),
  SuspendTenantPayload: mutation('active', 'SuspendTenantPayload', 'suspendTenant', 'id: $id'),
  ResumeTenantPayload: mutation('inactive', 'ResumeTenantPayload', 'resumeTenant', 'id: $id'),
  DeleteTenantPayload: mutation('active', 'DeleteTenantPayload', 'deleteTenant', 'id: $id'),
  RestoreTenantPayload: mutation('deleted', 'RestoreTenantPayload', 'restoreTenant', 'id: $id'),
  RetryOperationPayload: mutation('failed', 'RetryOperationPayload', 'retryOperation', 'id: $operation'),
  CancelOperationPayload: mutation('pending', 'CancelOperationPayload', 'cancelOperation', 'id: $operation'),

  ValidationError: mutation('active', 'ValidationError', 'updateTenant', 'input: { id: $id, name: "" }'),
  FieldError: way(
    'active',
    'mutation { updateTenant(input: { id: $id, name: "" }) { ... on ValidationError { fieldErrors { $selection } } } }',
    'updateTenant',
    'fieldErrors',
  ),
  NotFoundError: mutation('deleted', 'NotFoundError', 'updateTenant', 'input: { id: $id, name: "Other" }'),
  SubdomainTakenError: mutation(
    'active',
    'SubdomainTakenError',
    'createTenant',
    `input: { ${fresh}, subdomain: $subdomain }`,
  ),
  VersionConflictError: mutation(
    'active',
    'VersionConflictError',
    'updateTenant',
    'input: { id: $id, name: "Other", expectedVersion: 99 }',
  ),
  InvalidStateError: mutation('active', 'InvalidStateError', 'retryOperation', 'id: $operation'),
  // The key is used once before; the subdomain is another one each time.
  IdempotencyConflictError: mutation(
    'active',
    'IdempotencyConflictError',
    'createTenant',
    `input: { ${fresh}, subdomain: $new, idempotencyKey: "key" }`,
  ),
};

/** The types of objects that are no root. */
function objectTypes(schema: GraphQLSchema): GraphQLObjectType[] {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  return Object.values(schema.getTypeMap())
    .filter(isObjectType)
    .filter((type) => !type.name.startsWith('__') && !roots.includes(type));
}

/** A row for each field of each object. */
export async function fieldRows(schema: GraphQLSchema, bed: AccessBed): Promise<string[]> {
  const rows: string[] = [];
  for (const type of objectTypes(schema)) rows.push(...(await rowsOf(type, bed)));
  return rows;
}

async function rowsOf(type: GraphQLObjectType, { app, members, strangers }: AccessBed): Promise<string[]> {
  const how = ways[type.name];
  if (how === undefined) throw new Error(`add to test/contract/access how one comes to a ${type.name}`);
  // Strangers change nothing, and so the document is good for all of them.
  const document = await documentFor(app, type, how);
  const byStranger = new Map<string, GraphqlAnswer>();
  for (const [stranger, token] of strangers) byStranger.set(stranger, await askGraphql(app, token, document));

  const ask = async (token: string) => askGraphql(app, token, await documentFor(app, type, how));
  if (type.name === 'IdempotencyConflictError') for (const token of Object.values(members)) await ask(token);
  const byRole: GraphqlAnswer[] = [];
  for (const role of roles) byRole.push(await ask(members[role]));

  return Object.keys(type.getFields()).map((field) => {
    const path = [...how.path, field];
    const most = valueAt(byRole.at(-1)?.data, path);
    const outcome = (answer: GraphqlAnswer) => outcomeAt(answer, path, most);
    const ofStrangers = [...byStranger].map(([stranger, answer]) => [stranger, outcome(answer)] as const);
    return row(`${type.name}.${field}`, [allAlike(new Map(ofStrangers)), ...byRole.map(outcome)]);
  });
}

async function documentFor(app: TestApp, type: GraphQLObjectType, { of, document }: Way): Promise<string> {
  const selection = Object.values(type.getFields())
    .map(({ name, type }) => (isLeafType(getNamedType(type)) ? name : `${name} { __typename }`))
    .join(' ');
  const facts: KnownTenant & Record<string, string> = {
    ...(await tenantThatIs(app, of)),
    new: `n-${randomUUID()}`,
  };
  return document.replace(/\$(\w+)/g, (_, name) =>
    name === 'selection' ? selection : JSON.stringify(facts[name]),
  );
}

/** What becomes of the field: an error on the way to it is its own; a null is one when an admin sees more. */
function outcomeAt({ data, errors = [] }: GraphqlAnswer, path: readonly string[], most: unknown): string {
  const error = errors.find(({ path: at = [] }) =>
    at.filter((part) => typeof part === 'string').every((part, index) => part === path[index]),
  );
  if (error !== undefined) return error.extensions.code;
  const value = valueAt(data, path);
  if (value === undefined) return 'absent';
  return value === null && most !== null ? 'null' : 'ok';
}

/** Of a list, the first. */
function valueAt(data: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, part) => {
    const inner: unknown = Reflect.get(Object(value), part);
    return Array.isArray(inner) && part !== path.at(-1) ? inner[0] : inner;
  }, data);
}
