import type { ProvisioningEvent } from '../core/model.ts';
import type { Builder } from './builder.ts';
import { encodeNodeId } from './node-id.ts';
import type { addOperationKind } from './operation-kind.ts';
import type { addOperationState } from './operation-state.ts';
import type { addStepStatus } from './step-status.ts';
import type { addTenantStatus } from './tenant-status.ts';

interface Used {
  readonly operationKind: ReturnType<typeof addOperationKind>;
  readonly operationState: ReturnType<typeof addOperationState>;
  readonly stepStatus: ReturnType<typeof addStepStatus>;
  readonly tenantStatus: ReturnType<typeof addTenantStatus>;
}

export function addProvisioningEvent(builder: Builder, used: Used) {
  return builder.objectRef<ProvisioningEvent>('ProvisioningEvent').implement({
    description: 'One moment of an operation.',
    fields: (t) => ({
      tenantId: t.exposeID('tenantId'),
      operationId: t.id({ resolve: ({ operationId }) => encodeNodeId('Operation', operationId) }),
      kind: t.expose('kind', { type: used.operationKind }),
      operationState: t.expose('operationState', { type: used.operationState }),
      sequence: t.exposeInt('sequence', { description: '1, 2, 3 … per tenant: no gaps, no repeats.' }),
      step: t.exposeString('step'),
      status: t.expose('status', { type: used.stepStatus }),
      completedSteps: t.exposeInt('completedSteps'),
      totalSteps: t.exposeInt('totalSteps'),
      message: t.exposeString('message', { nullable: true }),
      tenantStatus: t.expose('tenantStatus', { type: used.tenantStatus }),
      createdAt: t.expose('createdAt', { type: 'DateTime' }),
    }),
  });
}
