import type { AuditAction, AuditEntry, Refusal } from './audit-entry.ts';
import type { AuditQuery, AuditStore } from './audit-store.ts';
import { withoutCancellation } from './cancellation.ts';
import type { ErrorCode } from './errors.ts';
import type { Actor } from './model.ts';
import { createRefusalBudget } from './refusal-budget.ts';
import { auditFilter, parse, uuid } from './validation.ts';

/** As many refusals of one subject are kept in a minute, by each process. */
const refusalsPerMinute = 100;

/** What says nothing of the caller: the first is nobody yet, and where the database is out nothing can be kept. */
const notKept: ReadonlySet<ErrorCode> = new Set(['UNAUTHENTICATED', 'UNAVAILABLE']);

/** What somebody tried to change, with the ids as they were written. */
export interface Attempt {
  readonly action: AuditAction;
  readonly tenantId?: unknown;
  readonly operationId?: unknown;
  readonly leaseId?: unknown;
}

export interface AuditOptions {
  readonly store: AuditStore;
  /** Told of a refusal that is not in the log, and why; of a subject that has too many, once a minute. */
  readonly onLoss: (refusal: Refusal, reason: unknown) => void;
}

export type Audit = ReturnType<typeof createAudit>;

/** The audit log. Changes are written to it by the transactions that make them; this is the rest. */
export function createAudit({ store, onLoss }: AuditOptions) {
  const earlierRefusals = createRefusalBudget();

  /**
   * Keeps that the attempt was refused, if the error with this code is a refusal; null is none. The caller is answered
   * after that, so nobody is refused faster than it can be written. Never throws.
   */
  async function refused(actor: Actor, attempt: Attempt, code: ErrorCode | null): Promise<void> {
    if (code === null || notKept.has(code)) return;
    const { action, tenantId, operationId, leaseId } = attempt;
    const refusal: Refusal = {
      actor,
      action,
      tenantId: idOf(tenantId),
      operationId: idOf(operationId),
      leaseId: idOf(leaseId),
      result: code,
    };
    const earlier = earlierRefusals(actor.subject, Date.now());
    if (earlier > refusalsPerMinute) return;
    try {
      if (earlier === refusalsPerMinute)
        throw new Error(`the subject was refused ${refusalsPerMinute} times within a minute`);
      // Also when the caller has gone: who hangs up quickly was refused nevertheless.
      await withoutCancellation(() => store.refuse(refusal));
    } catch (reason) {
      onLoss(refusal, reason);
    }
  }

  /** Entries, the newest first. @throws {ValidationError} for a filter that breaks a rule */
  async function list({ filter, ...page }: AuditQuery): Promise<AuditEntry[]> {
    return store.list({ ...page, filter: parse(auditFilter, filter) });
  }

  /** The entries with these ids, in no order; unknown ones are left out. */
  async function find(ids: readonly string[]): Promise<AuditEntry[]> {
    return store.find(ids);
  }

  return { refused, list, find };
}

/** Only an id passes: the rest is text that somebody wrote. */
function idOf(value: unknown): string | null {
  const parsed = uuid.safeParse(value);
  return parsed.success ? parsed.data : null;
}
