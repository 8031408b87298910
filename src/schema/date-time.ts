import { GraphQLError } from 'graphql';
import { z } from 'zod';
import type { Builder } from './builder.ts';

const dateTime = z.iso.datetime({ offset: true });

/** RFC 3339 in UTC with milliseconds, like gRPC's times. Arguments may have another offset, and no or more digits. */
export function addDateTime(builder: Builder) {
  builder.scalarType('DateTime', {
    description: 'A moment, as RFC 3339 writes it, in UTC with milliseconds.',
    serialize: (date) => date.toISOString(),
    parseValue: (value) => {
      const date = dateTime.safeParse(value).success ? new Date(String(value)) : null;
      // Beyond the years that it can write down, Date is something else.
      if (date === null || Number.isNaN(date.getTime()) || !/^(?!0000)\d{4}-/.test(date.toISOString())) {
        throw new GraphQLError('A DateTime is a moment as RFC 3339 writes it, such as 2026-01-31T12:00:00Z.');
      }
      return date;
    },
  });
}
