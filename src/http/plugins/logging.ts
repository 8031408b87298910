import { type DocumentNode, getOperationAST } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Principal } from '../../core/model.ts';
import type { GraphqlContext } from '../../schema/context.ts';

interface LoggedOperation {
  readonly document: DocumentNode;
  readonly operationName?: string | null | undefined;
  readonly contextValue?: { readonly principal?: Principal };
}

/** Says at the level debug who runs which operation. Never its variables or its text: they hold addresses. */
export function logOperation(log: Logger, event: string, operation: LoggedOperation): void {
  if (!log.isLevelEnabled('debug')) return;
  const definition = getOperationAST(operation.document, operation.operationName);
  const { subject, role } = operation.contextValue?.principal ?? {};
  log.debug({ operation: definition?.operation, name: definition?.name?.value, subject, role }, event);
}

/** Logs what begins. */
export function useLogging(log: Logger): Plugin<Partial<GraphqlContext>> {
  return {
    onExecute: ({ args }) => logOperation(log, 'a GraphQL operation runs', args),
    onSubscribe: ({ args }) => logOperation(log, 'a GraphQL subscription begins', args),
  };
}
