import { stepStatuses } from '../core/model.ts';
import type { Builder } from './builder.ts';

export function addStepStatus(builder: Builder) {
  return builder.enumType('StepStatus', {
    description: 'Where a step of an operation stands.',
    values: stepStatuses,
  });
}
