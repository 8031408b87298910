import { type DocumentNode, getOperationAST, OperationTypeNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { LRUCache } from 'lru-cache';

/** As many texts are known that came once, and as many queries that came again. */
const maxTexts = 1_000;

/** A query that was parsed, validated and found small enough before. */
export interface HotQuery {
  /** Holds no other operation. */
  readonly document: DocumentNode;
  readonly name: string | undefined;
}

export interface HotQueries {
  /** Learns from what Yoga executes: that has passed every rule on documents. */
  readonly plugin: Plugin;
  /** The query of this text, when it was executed twice or more; null for all else. */
  find(text: string): HotQuery | null;
}

/** Knows the queries that come again. A text that comes once, because its values stand in it, drives out none of them. */
export function createHotQueries(): HotQueries {
  const once = new LRUCache<string, true>({ max: maxTexts });
  const hot = new LRUCache<string, HotQuery>({ max: maxTexts });

  return {
    plugin: {
      onExecute({ args: { document }, context: { params } }) {
        const text = params.query;
        // The only operation: then it need not be said which one is meant.
        const operation = getOperationAST(document);
        if (text === undefined || operation?.operation !== OperationTypeNode.QUERY) return;
        if (once.has(text)) hot.set(text, { document, name: operation.name?.value });
        else once.set(text, true);
      },
    },
    find: (text) => hot.get(text) ?? null,
  };
}
