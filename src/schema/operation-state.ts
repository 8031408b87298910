import { operationStates } from '../core/model.ts';
import type { Builder } from './builder.ts';

export function addOperationState(builder: Builder) {
  return builder.enumType('OperationState', {
    description: 'Where an operation stands; one that waits for its next attempt is PENDING.',
    values: operationStates,
  });
}
