import { GraphQLError } from 'graphql';
import type { Builder } from './builder.ts';

/** RFC 3339 in UTC with milliseconds, like gRPC's times. */
export function addDateTime(builder: Builder) {
  builder.scalarType('DateTime', {
    description: 'A moment, as RFC 3339 writes it, in UTC with milliseconds.',
    serialize: (date) => date.toISOString(),
    parseValue: () => {
      throw new GraphQLError('No argument is a DateTime.');
    },
  });
}
