import type { GraphQLParams, Plugin } from 'graphql-yoga';
import { isFromBrowser } from '../browsers.ts';
import { documentRefusal } from '../refusal.ts';

/** Documents by their ids, which are whatever the tool that made the list gives them. */
export type TrustedDocuments = ReadonlyMap<string, string>;

/**
 * Lets browsers send these documents alone, by id or as they are; everybody else may send others too. An id is
 * `documentId` (https://github.com/graphql/graphql-over-http/pull/264) or `extensions.persistedQuery.sha256Hash`, as
 * Apollo's clients have it.
 */
export function useTrustedDocuments(documents: TrustedDocuments): Plugin {
  const texts = new Set(documents.values());
  return {
    onParams({ params, request, context, setParams, setResult }) {
      // Who is refused already hears why.
      if (!('principal' in context)) return;
      if (params.query) {
        if (!isFromBrowser(request.headers) || texts.has(params.query)) return;
        const message = 'Browsers may send trusted documents alone (--trusted-documents), and this is none.';
        setResult({ errors: [documentRefusal('FORBIDDEN', message)] });
        return;
      }
      const id = idOf(params);
      // Yoga says that a document is missing.
      if (id === null) return;
      const query = documents.get(id);
      // Behind all plugins Yoga throws when there is no document, also where there is an answer already.
      setParams({ ...params, query: query ?? '' });
      if (query !== undefined) return;
      const message = 'There is no trusted document with this id.';
      setResult({ errors: [documentRefusal('BAD_USER_INPUT', message)] });
    },
  };
}

function idOf(params: GraphQLParams): string | null {
  const { documentId, extensions }: { documentId?: unknown; extensions?: unknown } = params;
  if (typeof documentId === 'string') return documentId;
  const hash = memberOf(memberOf(extensions, 'persistedQuery'), 'sha256Hash');
  return typeof hash === 'string' ? hash : null;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
