import { z } from 'zod';
import { InvalidStateError, NotFoundError, ValidationError } from '../core/errors.ts';
import { parse } from '../core/validation.ts';
import type { Builder } from '../schema/builder.ts';
import { operationId } from '../schema/node-id.ts';
import type { Types } from '../schema/types.ts';

const operationArguments = z.object({ id: operationId });

export function addOperationMutations(builder: Builder, { payloads }: Types): void {
  builder.mutationFields((t) => ({
    retryOperation: t.field({
      type: payloads.retryOperation,
      description: 'Lets a failed operation go on at the step that failed.',
      args: { id: t.arg.id({ required: true }) },
      errors: { types: [ValidationError, NotFoundError, InvalidStateError] },
      resolve: (_root, args, { core, principal }) =>
        core.operations.retry(principal, parse(operationArguments, args).id),
    }),

    cancelOperation: t.field({
      type: payloads.cancelOperation,
      description:
        'Undoes what an operation did that is not finished, or failed; a tenant that it was bringing up is deleted.',
      args: { id: t.arg.id({ required: true }) },
      errors: { types: [ValidationError, NotFoundError, InvalidStateError] },
      resolve: (_root, args, { core, principal }) =>
        core.operations.cancel(principal, parse(operationArguments, args).id),
    }),
  }));
}
