import type { Builder } from '../schema/builder.ts';
import { operationId } from '../schema/node-id.ts';
import type { Types } from '../schema/types.ts';

export function addOperationQueries(builder: Builder, { operation }: Types): void {
  builder.queryField('operation', (t) =>
    t.field({
      type: operation,
      nullable: true,
      args: { id: t.arg.id({ required: true, validate: operationId }) },
      resolve: (_root, { id }, { core }) => core.operations.find(id),
    }),
  );
}
