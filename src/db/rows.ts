import type { Operation, ProvisioningEvent, Tenant } from '../core/model.ts';

// Rows of plain SQL, under the names of the domain: a column `schema_version` of table `t` is selected as
// "tenant.schemaVersion", so that one row can carry several entities. Of a tenant's contact nothing is selected.

const tenant = {
  id: 'id',
  name: 'name',
  subdomain: 'subdomain',
  tier: 'tier',
  status: 'status',
  version: 'version',
  schemaVersion: 'schema_version',
  createdAt: 'created_at',
  updatedAt: 'updated_at',
  deletedAt: 'deleted_at',
  operationId: 'operation_id',
} as const satisfies Record<keyof Tenant, string>;

const operation = {
  id: 'id',
  tenantId: 'tenant_id',
  kind: 'kind',
  state: 'state',
  attempt: 'attempt',
  error: 'error',
  nextAttemptAt: 'next_attempt_at',
  cancelling: 'cancelling',
  fence: 'fence',
  lastSequence: 'last_sequence',
  leaseUntil: 'lease_until',
  createdAt: 'created_at',
  startedAt: 'started_at',
  finishedAt: 'finished_at',
} as const satisfies Record<keyof Operation, string>;

const event = {
  tenantId: 'tenant_id',
  operationId: 'operation_id',
  kind: 'kind',
  operationState: 'operation_state',
  sequence: 'sequence',
  step: 'step',
  status: 'status',
  completedSteps: 'completed_steps',
  totalSteps: 'total_steps',
  message: 'message',
  tenantStatus: 'tenant_status',
  createdAt: 'created_at',
} as const satisfies Record<keyof ProvisioningEvent, string>;

interface Entities {
  tenant: Tenant;
  operation: Operation;
  event: ProvisioningEvent;
}

const columns: { readonly [K in keyof Entities]: Readonly<Record<keyof Entities[K], string>> } = {
  tenant,
  operation,
  event,
};

export type SqlRow = Record<string, unknown>;

/** The select list that reads `entity` from a table or query called `alias`. */
export function selectList(entity: keyof Entities, alias: string): string {
  return Object.entries(columns[entity])
    .map(([field, column]) => `${alias}.${column} AS "${entity}.${field}"`)
    .join(', ');
}

/** Reads the entity that a row selected by {@link selectList} carries. The select list is what makes this true. */
function reader<K extends keyof Entities>(entity: K): (row: SqlRow) => Entities[K] {
  const fields = Object.keys(columns[entity]).map((field) => [field, `${entity}.${field}`] as const);
  return (row) => {
    const read: SqlRow = {};
    for (const [field, column] of fields) read[field] = row[column];
    return read as unknown as Entities[K];
  };
}

export const readTenant = reader('tenant');
export const readOperation = reader('operation');
export const readEvent = reader('event');
