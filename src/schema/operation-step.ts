import type { Builder } from './builder.ts';
import type { addStepStatus } from './step-status.ts';

export function addOperationStep(builder: Builder, stepStatus: ReturnType<typeof addStepStatus>) {
  return builder.prismaObject('OperationStep', {
    fields: (t) => ({
      name: t.exposeString('name'),
      status: t.expose('status', { type: stepStatus }),
      startedAt: t.expose('startedAt', { type: 'DateTime', nullable: true }),
      finishedAt: t.expose('finishedAt', { type: 'DateTime', nullable: true }),
      error: t.exposeString('error', { nullable: true }),
    }),
  });
}
