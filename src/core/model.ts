/** The nouns of the domain, as every layer passes them on. Times are the database's clock. */

export const tenantStatuses = ['PROVISIONING', 'ACTIVE', 'INACTIVE', 'ERROR'] as const;
export type TenantStatus = (typeof tenantStatuses)[number];

export const operationKinds = ['PROVISION', 'SUSPEND', 'RESUME', 'DELETE', 'RESTORE', 'MIGRATE'] as const;
export type OperationKind = (typeof operationKinds)[number];

export const operationStates = ['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED'] as const;
export type OperationState = (typeof operationStates)[number];

export const stepStatuses = ['PENDING', 'IN_PROGRESS', 'SUCCESS', 'FAILED'] as const;
export type StepStatus = (typeof stepStatuses)[number];

export const deletedFilters = ['EXCLUDE', 'INCLUDE', 'ONLY'] as const;
/** Which tenants a look-up sees: live ones, all, or deleted ones alone. */
export type DeletedFilter = (typeof deletedFilters)[number];

/** Without its contact's address, in any form: whoever may see that asks for it by itself. */
export interface Tenant {
  readonly id: string;
  readonly name: string;
  readonly subdomain: string;
  readonly tier: string;
  readonly status: TenantStatus;
  readonly version: number;
  readonly schemaVersion: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly deletedAt: Date | null;
  readonly operationId: string | null;
}

export interface Operation {
  readonly id: string;
  readonly tenantId: string;
  readonly kind: OperationKind;
  readonly state: OperationState;
  readonly attempt: number;
  readonly error: string | null;
  readonly nextAttemptAt: Date | null;
  /** Its steps are being undone; it ends as CANCELLED. */
  readonly cancelling: boolean;
  readonly fence: number;
  /** The sequence of its newest event. */
  readonly lastSequence: number;
  readonly leaseUntil: Date | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

/** One moment of an operation; `sequence` counts 1, 2, 3 … per tenant without gaps. */
export interface ProvisioningEvent {
  readonly tenantId: string;
  readonly operationId: string;
  readonly kind: OperationKind;
  readonly operationState: OperationState;
  readonly sequence: number;
  readonly step: string;
  readonly status: StepStatus;
  readonly completedSteps: number;
  readonly totalSteps: number;
  readonly message: string | null;
  readonly tenantStatus: TenantStatus;
  readonly createdAt: Date;
}

/** A login of a tenant's that somebody has borrowed. */
export interface Lease {
  readonly id: string;
  readonly tenantId: string;
  /** The subject that took it. */
  readonly subject: string;
}

/** Connections into a tenant's schema. */
export interface TenantPoolUsage {
  /** Of this process's pool: in use, open and free, and the requests that wait for one. */
  readonly active: number;
  readonly idle: number;
  readonly waiting: number;
  /** As many as the tenant's tier allows: of leases, and of connections of one process. */
  readonly max: number;
  /** Leases, of all processes. */
  readonly leases: number;
}

/** What a caller is: a subject that idempotency keys belong to, and a role. */
export interface Principal {
  readonly subject: string;
  readonly role: Role;
}

/** A principal, as long as what it showed is valid. */
export interface Caller extends Principal {
  /** Milliseconds since 1970; infinite when it is for ever. */
  readonly expiresAt: number;
}

export const transports = ['GRAPHQL', 'GRPC'] as const;
export type Transport = (typeof transports)[number];

/** Where a call comes from. */
export interface Origin {
  readonly transport: Transport;
  /** The other end of the socket, as PostgreSQL's `inet` takes it; null when the socket does not say. */
  readonly address: string | null;
}

/** Who changes something, and from where: what every change asks for, and the audit log keeps. */
export interface Actor extends Principal, Origin {}

/** From the least to the most that a role may do; each includes the ones before it. */
export const roles = ['viewer', 'editor', 'admin'] as const;
export type Role = (typeof roles)[number];

/** Whether `role` may do what needs `needed`. */
export function roleIncludes(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}
