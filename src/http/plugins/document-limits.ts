import { type DocumentNode, GraphQLError, NoSchemaIntrospectionCustomRule } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { documentLimits, excessOf, sentence } from '../document-excess.ts';
import { documentRefusal } from '../refusal.ts';

export interface DocumentLimitsOptions {
  /** Whether documents may ask for the schema. */
  readonly introspection: boolean;
}

/**
 * Refuses documents that are too large. Before validation: some of its rules take a time that is the square of what
 * they look at. A document that Yoga remembers is not looked at again.
 */
export function useDocumentLimits({ introspection }: DocumentLimitsOptions): Plugin {
  const looked = new WeakMap<DocumentNode, readonly GraphQLError[]>();

  function look(document: DocumentNode): readonly GraphQLError[] {
    const excess = excessOf(document);
    return excess === null ? [] : [documentRefusal('LIMIT_EXCEEDED', excess)];
  }

  return {
    onParams({ params: { query }, context, setResult }) {
      // Who is refused already hears why.
      if (!('principal' in context)) return;
      // Before Yoga remembers it, if only as a document that cannot be parsed.
      const length = typeof query === 'string' ? query.length : 0;
      if (length <= documentLimits.length) return;
      const message = sentence(length, 'characters', documentLimits.length);
      setResult({ errors: [documentRefusal('LIMIT_EXCEEDED', message)] });
    },
    onParse({ parseFn, setParseFn }) {
      setParseFn((source, options) => {
        try {
          return parseFn(source, { ...options, maxTokens: documentLimits.tokens });
        } catch (error) {
          throw isTooManyTokens(error)
            ? documentRefusal('LIMIT_EXCEEDED', sentence('more', 'tokens', documentLimits.tokens))
            : error;
        }
      });
    },
    onValidate({ params: { documentAST }, addValidationRule, setResult }) {
      if (!introspection) addValidationRule(NoSchemaIntrospectionCustomRule);
      const errors = looked.get(documentAST) ?? look(documentAST);
      looked.set(documentAST, errors);
      if (errors.length > 0) setResult([...errors]);
    },
  };
}

/** graphql-js says it in words alone. */
function isTooManyTokens(error: unknown): boolean {
  return error instanceof GraphQLError && error.message.includes('tokens. Parsing aborted');
}
