import { getOperationAST } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { GraphqlContext } from '../../schema/context.ts';

/** Says at the level debug who ran which operation. Never its variables or its text: they hold addresses. */
export function useLogging(log: Logger): Plugin<Partial<GraphqlContext>> {
  const write = (
    event: string,
    args: {
      readonly document: Parameters<typeof getOperationAST>[0];
      readonly operationName?: string | null | undefined;
      readonly contextValue?: Partial<GraphqlContext>;
    },
  ) => {
    if (!log.isLevelEnabled('debug')) return;
    const operation = getOperationAST(args.document, args.operationName);
    const { subject, role } = args.contextValue?.principal ?? {};
    log.debug({ operation: operation?.operation, name: operation?.name?.value, subject, role }, event);
  };
  return {
    onExecute: ({ args }) => write('a GraphQL operation runs', args),
    onSubscribe: ({ args }) => write('a GraphQL subscription begins', args),
  };
}
