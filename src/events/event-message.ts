import { z } from 'zod';
import {
  operationKinds,
  operationStates,
  type ProvisioningEvent,
  stepStatuses,
  tenantStatuses,
} from '../core/model.ts';

const eventMessage = z.object({
  tenantId: z.guid(),
  operationId: z.guid(),
  kind: z.enum(operationKinds),
  operationState: z.enum(operationStates),
  sequence: z.int().min(1),
  step: z.string(),
  status: z.enum(stepStatuses),
  completedSteps: z.int(),
  totalSteps: z.int(),
  message: z.string().nullable(),
  tenantStatus: z.enum(tenantStatuses),
  createdAt: z.iso.datetime().transform((text) => new Date(text)),
}) satisfies z.ZodType<ProvisioningEvent>;

/**
 * The event that a message of the channel carries, or null when it is none. Messages are not signed: who may write to
 * the channel is trusted to tell the truth about events, as Redis is. A message that is out of turn makes watchers read
 * the history and nothing more; one that claims to be the very next event would be believed.
 */
export function parseEvent(message: unknown): ProvisioningEvent | null {
  const parsed = eventMessage.safeParse(message);
  return parsed.success ? parsed.data : null;
}
