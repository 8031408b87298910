import type { IncomingMessage } from 'node:http';
import type { Plugin } from 'graphql-yoga';
import type { Authenticate } from '../../core/core.ts';
import { originOf } from '../../core/origin.ts';
import { publicError } from '../errors.ts';

/**
 * Finds out who asks, once per request and before the document is even parsed: what validation says of a document
 * would tell the schema to strangers.
 */
export function useAuthentication(
  authenticate: Authenticate,
): Plugin<object, { readonly req: IncomingMessage }> {
  return {
    async onParams({ request, context, setResult }) {
      try {
        const principal = await authenticate(request.headers.get('authorization') ?? undefined);
        const origin = originOf('GRAPHQL', context.req.socket.remoteAddress);
        Object.assign(context, { principal: { ...principal, ...origin } });
      } catch (error) {
        // Not thrown: the plugins behind this one count refusals too.
        const refusal = publicError(error);
        if (refusal === null) throw error;
        setResult({ errors: [refusal] });
      }
    },
  };
}
