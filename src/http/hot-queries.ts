import {
  type DocumentNode,
  type ExecutionResult,
  type GraphQLSchema,
  getOperationAST,
  OperationTypeNode,
} from 'graphql';
import { compileQuery, isCompiledQuery } from 'graphql-jit';
import type { Plugin } from 'graphql-yoga';
import type { GraphqlContext } from '../schema/context.ts';

/** As many as Yoga remembers of parsed documents; the one that came first is forgotten first. */
const maxQueries = 1_000;

export type Variables = Readonly<Record<string, unknown>>;

/** A query that was parsed, validated and found small enough before, compiled. */
export interface HotQuery {
  /** Holds no other operation. */
  readonly document: DocumentNode;
  readonly name: string | undefined;
  run(context: GraphqlContext, variables: Variables): Promise<ExecutionResult> | ExecutionResult;
}

export interface HotQueries {
  /** Learns from what Yoga executes: that has passed every rule on documents. */
  readonly plugin: Plugin;
  /** The query of this text, when it was executed twice or more; null for all else. */
  find(text: string): HotQuery | null;
}

/**
 * Compiles queries that come again. A text that comes once only, because its values stand in it, is not worth the time:
 * the second execution is the one that compiles.
 */
export function createHotQueries(schema: GraphQLSchema): HotQueries {
  const known = new Map<string, HotQuery | 'once' | 'never'>();

  return {
    plugin: {
      onExecute({ args: { document }, context: { params } }) {
        const text = params.query;
        if (text === undefined) return;
        const seen = known.get(text);
        if (seen === undefined) known.set(text, 'once');
        if (seen === 'once') known.set(text, compiled(schema, document) ?? 'never');
        const [oldest] = known.size > maxQueries ? known.keys() : [];
        if (oldest !== undefined) known.delete(oldest);
      },
    },
    find(text) {
      const found = known.get(text);
      return typeof found === 'object' ? found : null;
    },
  };
}

/** Null for what is no query, for several operations, and where the compiler does not know something. */
function compiled(schema: GraphQLSchema, document: DocumentNode): HotQuery | null {
  const operation = getOperationAST(document);
  if (operation?.operation !== OperationTypeNode.QUERY) return null;
  const query = compileQuery(schema, document, undefined, { disablingCapturingStackErrors: true });
  if (!isCompiledQuery(query)) return null;
  return {
    document,
    name: operation.name?.value,
    run: (context, variables) => query.query(undefined, context, variables),
  };
}
