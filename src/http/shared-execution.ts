import { type DocumentNode, type ExecutionArgs, type ExecutionResult, execute } from 'graphql';
import type { GraphqlContext } from '../schema/context.ts';

export interface SubscriptionArgs extends ExecutionArgs {
  readonly contextValue: Pick<GraphqlContext, 'principal'>;
}

/** What one subscriber sees of events. Whoever has it disposes of it. */
export interface Execution extends Disposable {
  /** What the subscription selects of the event: one object for all who share it. */
  run(event: unknown): ExecutionResult | Promise<ExecutionResult>;
}

interface Group {
  subscribers: number;
  readonly args: ExecutionArgs;
  /** A live event is one object in the whole process; what comes of the history is nobody else's. */
  readonly results: WeakMap<object, ExecutionResult | Promise<ExecutionResult>>;
}

/**
 * Runs a subscription's selection once per event for all subscribers who must see the same: those with the same document,
 * operation and variables, and the same role. Nothing else of who asks may decide what is seen of an event.
 * @param context what resolvers are given beside the principal
 */
export function createSharedExecution<Context extends object>(
  context: Context,
): (args: SubscriptionArgs) => Execution {
  const groups = new WeakMap<DocumentNode, Map<string, Group>>();

  return ({ schema, document, operationName, variableValues, contextValue: { principal } }) => {
    const ofDocument = groups.get(document) ?? new Map<string, Group>();
    groups.set(document, ofDocument);
    const key = JSON.stringify([principal.role, operationName, variableValues]);
    const group = ofDocument.get(key) ?? {
      subscribers: 0,
      // Nothing of the request of who came first: the group may outlive it.
      args: { schema, document, operationName, variableValues, contextValue: { ...context, principal } },
      results: new WeakMap(),
    };
    ofDocument.set(key, group);
    group.subscribers += 1;

    return {
      run(rootValue) {
        const event: object = Object(rootValue);
        const known = group.results.get(event);
        if (known !== undefined) return known;
        const result = execute({ ...group.args, rootValue });
        group.results.set(event, result);
        return result;
      },
      [Symbol.dispose]() {
        group.subscribers -= 1;
        if (group.subscribers === 0) ofDocument.delete(key);
      },
    };
  };
}
