import type { Builder } from './builder.ts';
import type { addOperationKind } from './operation-kind.ts';
import type { addOperationState } from './operation-state.ts';

interface Used {
  readonly operationKind: ReturnType<typeof addOperationKind>;
  readonly operationState: ReturnType<typeof addOperationState>;
}

export function addOperation(builder: Builder, { operationKind, operationState }: Used) {
  return builder.prismaNode('Operation', {
    description: 'Work on a tenant that takes a while; its progress can be watched.',
    id: { field: 'id' },
    // An unknown id reads null.
    nullable: true,
    fields: (t) => ({
      kind: t.expose('kind', { type: operationKind }),
      state: t.expose('state', { type: operationState }),
      attempt: t.exposeInt('attempt'),
      error: t.exposeString('error', { nullable: true }),
      nextAttemptAt: t.expose('nextAttemptAt', { type: 'DateTime', nullable: true }),
      tenant: t.relation('tenant', { description: 'Shown here also when it is deleted.' }),
      steps: t.relation('steps', { query: { orderBy: { position: 'asc' } } }),
      createdAt: t.expose('createdAt', { type: 'DateTime' }),
      startedAt: t.expose('startedAt', { type: 'DateTime', nullable: true }),
      finishedAt: t.expose('finishedAt', { type: 'DateTime', nullable: true }),
    }),
  });
}
