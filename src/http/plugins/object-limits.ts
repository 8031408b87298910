import type { ExecutionResult } from 'graphql';
import type { Plugin, YogaInitialContext } from 'graphql-yoga';
import type { Allowance } from '../../core/allowance.ts';
import type { CountedOperation, ObjectCounter } from '../../schema/complexity.ts';
import type { GraphqlContext } from '../../schema/context.ts';
import { refusalOf } from '../errors.ts';
import { documentRefusal } from '../refusal.ts';

/** The most objects that one request may ask for: a page of 100 tenants with their newest operations' steps is 700. */
export const maxObjects = 2_000;

/**
 * Counts the objects that an operation asks for before it runs: against the most of one request, and of a second. A
 * request whose operation does not come to that, such as one that cannot be parsed, counts as one object when it is
 * answered; who has none left is not told what else is wrong.
 */
export function useObjectLimits(
  count: ObjectCounter,
  allowance: Allowance,
): Plugin<GraphqlContext, Partial<GraphqlContext>> {
  const counted = new WeakSet<Request>();

  async function admit(operation: CountedOperation, context: CountedContext): Promise<void> {
    const objects = count(operation);
    // Which operation is meant is not clear; execution says so.
    if (objects === null) return;
    if (objects > maxObjects) {
      throw documentRefusal(
        'LIMIT_EXCEEDED',
        `The request asks for up to ${objects} objects; at most ${maxObjects} are allowed: ask for smaller pages.`,
      );
    }
    counted.add(context.request);
    await allowance.spend(context.principal, objects);
  }

  async function check({ args, context, setResultAndStopExecution: stop }: Beginning): Promise<void> {
    const refusal = await refusalOf(admit(args, context));
    if (refusal !== null) stop({ errors: [refusal] });
  }

  return {
    onExecute: check,
    onSubscribe: check,
    async onResultProcess({ request, serverContext: { principal }, setResult }) {
      // Who sends no good token is nobody whose objects could be counted.
      if (principal === undefined || counted.has(request)) return;
      counted.add(request);
      const refusal = await refusalOf(allowance.spend(principal, 1));
      if (refusal !== null) setResult({ errors: [refusal] });
    },
  };
}

type CountedContext = GraphqlContext & Pick<YogaInitialContext, 'request'>;

/** What an execution and a subscription have in common as they begin. */
interface Beginning {
  readonly args: CountedOperation;
  readonly context: CountedContext;
  readonly setResultAndStopExecution: (result: ExecutionResult) => void;
}
