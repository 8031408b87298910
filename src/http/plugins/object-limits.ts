import type { ExecutionResult } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Allowance } from '../../core/allowance.ts';
import type { CountedOperation, ObjectCounter } from '../../schema/complexity.ts';
import type { GraphqlContext } from '../../schema/context.ts';
import { publicError } from '../errors.ts';
import { documentRefusal } from '../refusal.ts';

/** The most objects that one request may ask for: a page of 100 tenants with their newest operations' steps is 700. */
const maxObjects = 2_000;

/** Counts the objects that an operation asks for before it runs: against the most of one request, and of a second. */
export function useObjectLimits(count: ObjectCounter, allowance: Allowance): Plugin<GraphqlContext> {
  async function admit(operation: CountedOperation, { principal }: GraphqlContext): Promise<void> {
    const objects = count(operation);
    // Which operation is meant is not clear; execution says so.
    if (objects === null) return;
    if (objects > maxObjects) {
      throw documentRefusal(
        'LIMIT_EXCEEDED',
        `The request asks for up to ${objects} objects; at most ${maxObjects} are allowed: ask for smaller pages.`,
      );
    }
    await allowance.spend(principal, objects);
  }

  async function check({ args, context, setResultAndStopExecution: stop }: Beginning): Promise<void> {
    try {
      await admit(args, context);
    } catch (error) {
      const refusal = publicError(error);
      if (refusal === null) throw error;
      stop({ errors: [refusal] });
    }
  }

  return { onExecute: check, onSubscribe: check };
}

/** What an execution and a subscription have in common as they begin. */
interface Beginning {
  readonly args: CountedOperation;
  readonly context: GraphqlContext;
  readonly setResultAndStopExecution: (result: ExecutionResult) => void;
}
