import { randomUUID } from 'node:crypto';
import { Prisma } from '../../generated/prisma/client.ts';
import type { KeyRing } from '../key-ring.ts';
import { readDataModel } from './data-model.ts';
import { encryptedFilter } from './encrypted-filter.ts';
import {
  eachOf,
  type Input,
  isInput,
  type NestedWrite,
  type Place,
  RefusedQueryError,
  type Rules,
  requireInput,
  type Walk,
} from './query-rules.ts';
import { walkQuery } from './walk-query.ts';

// Field encryption: `Tenant.contactEmail` is plain text for callers and ciphertext in the database.
//
// - Writes seal it with the tenant's id and the field's name as associated data, so the id must be known: a
//   create without one is given one, `updateMany` must name one id, an id never changes.
// - The blind index `contactEmailIndex` is written by this extension alone. The generated types demand it in
//   a create: write `filledIn`.
// - Filters for equality (a string, equals, in, notIn, not) become filters on the index, wherever they stand.
//   The index knows no case and no outer blanks. All else (contains, order, distinct, groups, _min, cursors)
//   could only see ciphertext, and is refused.
// - Writing tenants through a relation would pass by the sealing, and is refused.
// - Reads open it lazily, in nested results too: a result that nobody looks at costs nothing. A value that is
//   no ciphertext is never handed out as if it were plain.
//
// Raw queries pass by here: they seal and open with the key ring themselves.

const MODEL = 'Tenant';
const FIELD = 'contactEmail';
const INDEX = 'contactEmailIndex';

/** What a create says for the blind index, which the generated types demand and the extension fills in. */
export const filledIn = '';

/** The Prisma client extension that encrypts the contact address; the rules stand at the head of this file. */
export function fieldEncryption(keyRing: KeyRing) {
  const walk: Walk = { models: readDataModel(), rules: encryptionRules(keyRing) };
  return Prisma.defineExtension({
    name: 'field-encryption',
    result: {
      tenant: {
        [FIELD]: {
          needs: { id: true, [FIELD]: true },
          compute: (tenant) => keyRing.open(tenant[FIELD], { tenantId: tenant.id, field: FIELD }),
        },
      },
    },
    query: {
      $allModels: {
        $allOperations({ model, operation, args, query }) {
          return query(rewrite(walk, keyRing, model, operation, args));
        },
      },
    },
  });
}

function rewrite<A>(walk: Walk, keyRing: KeyRing, model: string, operation: string, args: A): A {
  const walked = walkQuery(walk, model, operation, args);
  // The walk keeps the shape that Prisma's types demand; its own types do not know it.
  return (model === MODEL ? sealData(keyRing, operation, walked) : walked) as A;
}

const NESTED: ReadonlySet<NestedWrite> = new Set([
  'create',
  'createMany',
  'connectOrCreate',
  'update',
  'updateMany',
  'upsert',
]);

function encryptionRules(keyRing: KeyRing): Rules {
  return {
    where(model, where, place) {
      if (model.name !== MODEL || where[FIELD] === undefined) return where;
      const { [FIELD]: filter, ...rest } = where;
      if (rest[INDEX] !== undefined) {
        throw new RefusedQueryError(`${place}.${INDEX}`, `stands beside ${FIELD}: filter by one of them`);
      }
      return { ...rest, [INDEX]: encryptedFilter(keyRing, filter, `${place}.${FIELD}`) };
    },
    use(model, field, use, place) {
      if (model.name !== MODEL || field !== FIELD || use === '_count') return;
      throw new RefusedQueryError(place, `${use} would see ciphertext: use another field`);
    },
    write(relation, verb, place) {
      if (relation.model !== MODEL || !NESTED.has(verb)) return;
      throw new RefusedQueryError(place, `would pass by the encryption: write to ${MODEL} itself`);
    },
  };
}

function sealData(keyRing: KeyRing, operation: string, args: Input): Input {
  const place = `${MODEL}.${operation}`;
  const sealNew = (data: Input, at: Place, id: unknown = randomUUID()): Input => {
    const row = { ...data, id: data.id ?? id };
    return sealRow(keyRing, row, row.id, at);
  };
  const sealChange = (data: Input, at: Place): Input => {
    if (data.id !== undefined) {
      throw new RefusedQueryError(
        `${at}.id`,
        `${FIELD} is sealed for the id, which never changes: leave it out`,
      );
    }
    return sealRow(keyRing, data, idOf(args.where), at);
  };
  const at = `${place} data`;
  switch (operation) {
    case 'create':
    case 'createMany':
    case 'createManyAndReturn':
      return { ...args, data: eachOf(args.data, at, (data) => sealNew(data, at)) };
    case 'update':
    case 'updateMany':
    case 'updateManyAndReturn':
      return { ...args, data: sealChange(requireInput(args.data, at), at) };
    case 'upsert': {
      const create = requireInput(args.create, `${place} create`);
      return {
        ...args,
        create: sealNew(create, `${place} create`, idOf(args.where)),
        update: sealChange(requireInput(args.update, `${place} update`), `${place} update`),
      };
    }
    default:
      return args;
  }
}

/** The one id that a `where` names at its top. */
function idOf(where: unknown): unknown {
  const id = isInput(where) ? where.id : undefined;
  return isInput(id) && Object.keys(id).length === 1 ? id.equals : id;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function sealRow(keyRing: KeyRing, data: Input, id: unknown, place: Place): Input {
  if (data[INDEX] !== undefined && data[INDEX] !== filledIn) {
    throw new RefusedQueryError(`${place}.${INDEX}`, `is filled in by the extension: leave it out`);
  }
  const address = isInput(data[FIELD]) ? data[FIELD].set : data[FIELD];
  if (address === undefined) {
    const { [INDEX]: _, [FIELD]: __, ...rest } = data;
    return rest;
  }
  if (typeof address !== 'string') throw new RefusedQueryError(`${place}.${FIELD}`, 'takes a string');
  // PostgreSQL reads other spellings of a UUID as the same one, and answers with this one.
  const tenantId = typeof id === 'string' ? id.toLowerCase() : '';
  if (!UUID.test(tenantId)) {
    throw new RefusedQueryError(
      `${place}.${FIELD}`,
      'is sealed for one tenant: name its UUID, in where.id or data.id',
    );
  }
  return {
    ...data,
    [FIELD]: keyRing.seal(address, { tenantId, field: FIELD }),
    [INDEX]: keyRing.emailIndex(address),
  };
}
