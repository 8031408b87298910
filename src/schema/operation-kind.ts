import { operationKinds } from '../core/model.ts';
import type { Builder } from './builder.ts';

export function addOperationKind(builder: Builder) {
  return builder.enumType('OperationKind', {
    description: 'What an operation does to its tenant.',
    values: operationKinds,
  });
}
