import type { AuditEntry, Refusal } from './audit-entry.ts';
import type { Page } from './ports.ts';
import type { AuditFilter } from './validation.ts';

export interface AuditQuery extends Page {
  readonly filter: AuditFilter;
}

/** The audit log, which the registry's transactions and those of leases write too. */
export interface AuditStore {
  /** Writes a refusal: a transaction of its own, since nothing else was changed. */
  refuse(refusal: Refusal): Promise<void>;
  /** A page of the entries that pass the filter, the newest first; `inverted` reads the oldest first. */
  list(query: AuditQuery): Promise<AuditEntry[]>;
  find(ids: readonly string[]): Promise<AuditEntry[]>;
}
