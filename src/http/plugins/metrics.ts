import { isAsyncIterable } from '@envelop/core';
import { getOperationAST, type OperationTypeNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { publicError } from '../errors.ts';
import type { GraphqlMetrics } from '../metrics.ts';

/** Measures each operation, also those that are refused before they run. */
export function useMetrics({ duration }: Pick<GraphqlMetrics, 'duration'>): Plugin {
  const startedAt = new WeakMap<object, number>();
  const operationTypes = new WeakMap<object, OperationTypeNode>();
  return {
    onParams({ context }) {
      startedAt.set(context, performance.now());
    },
    onParse:
      () =>
      ({ context, result }) => {
        if (result instanceof Error) return;
        const operation = getOperationAST(result, context.params.operationName);
        if (operation) operationTypes.set(context, operation.operation);
      },
    onExecutionResult({ context, result }) {
      const started = startedAt.get(context);
      if (started === undefined) return;
      duration.observe(
        { operation_type: operationTypes.get(context) ?? 'unknown', outcome: outcomeOf(result) },
        (performance.now() - started) / 1000,
      );
    },
  };
}

/** `refused` is the caller's doing, `failed` is ours or the database's. */
export function outcomeOf(result: unknown): 'ok' | 'refused' | 'failed' {
  if (typeof result !== 'object' || result === null || isAsyncIterable(result)) return 'ok';
  const errors: unknown = Reflect.get(result, 'errors');
  if (!Array.isArray(errors) || errors.length === 0) return 'ok';
  const codes = errors.map((error) => publicError(error)?.extensions.code ?? 'INTERNAL');
  return codes.some((code) => code === 'INTERNAL' || code === 'UNAVAILABLE') ? 'failed' : 'refused';
}
