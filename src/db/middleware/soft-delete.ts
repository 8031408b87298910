import { Prisma } from '../../generated/prisma/client.ts';
import { type DataModel, modelNamed, type Relation, readDataModel } from './data-model.ts';
import {
  givenEntries,
  type Input,
  isInput,
  RefusedQueryError,
  type Rules,
  requireInput,
  type Walk,
} from './query-rules.ts';
import { walkQuery } from './walk-query.ts';

// Soft delete: a row whose `deletedAt` is set does not exist, for every model that has the field.
//
// - Reads, updates and upserts see live rows only; `delete` and `deleteMany` set `deletedAt`, and find nothing
//   to delete in a deleted row.
// - Asking for deleted rows is the caller's explicit decision: a top-level `where` that decides on `deletedAt`
//   is left alone. It decides when it has a condition on the field, or a member of its AND does, or every
//   branch of its OR does. NOT, relation filters and nested arguments decide nothing.
// - Lists of deletable rows are filtered where they are read, counted or filtered by. In `every`, a deleted
//   row is not asked. A single related row that is filtered by must be live.
// - A single related row that is read cannot be filtered in Prisma, so it is refused unless `visibleThrough`
//   names the relation. Ordering by such a row follows the same rule.
// - Writes through a relation to a deletable row are refused, but `create` and `connect`, which finds live rows.
//
// What the walk does not know is refused. Raw queries pass by here: they filter for themselves. So do foreign
// keys that are written as plain values: an operation of a deleted tenant is made by its `tenantId`.

const FIELD = 'deletedAt';
const LIVE: Input = { [FIELD]: null };

/** A condition for the AND of a top-level `where` that wants live and deleted rows. */
export const liveOrDeleted = { OR: [{ deletedAt: null }, { deletedAt: { not: null } }] };

export interface SoftDeleteOptions {
  /** Single relations, as `Model.field`, through which a deleted row may be seen. */
  readonly visibleThrough: readonly string[];
}

/**
 * The Prisma client extension that makes deleted rows absent; the rules stand at the head of this file.
 * @throws Error when an option names no relation to a single deletable row.
 */
export function softDelete(options: SoftDeleteOptions) {
  const models = readDataModel();
  const walk: Walk = { models, rules: softDeleteRules(models, checkedPaths(models, options.visibleThrough)) };
  return Prisma.defineExtension({
    name: 'soft-delete',
    model: {
      tenant: {
        /** Sets `deletedAt`. A row that is deleted already is as one that never was: P2025. */
        delete<T, A extends Prisma.Args<T, 'delete'>>(
          this: T,
          args: Prisma.Exact<A, Prisma.Args<T, 'delete'>>,
        ) {
          return tenantOf<Prisma.PrismaPromise<Prisma.Result<T, A, 'delete'>>>(this).update(
            markDeleted(args),
          );
        },
        /** Sets `deletedAt` of every live row that matches. */
        deleteMany<T, A extends Prisma.Args<T, 'deleteMany'>>(
          this: T,
          args?: Prisma.Exact<A, Prisma.Args<T, 'deleteMany'>>,
        ) {
          return tenantOf<Prisma.PrismaPromise<Prisma.BatchPayload>>(this).updateMany(markDeleted(args));
        },
      },
    },
    query: {
      $allModels: {
        $allOperations({ model, operation, args, query }) {
          return query(rewrite(walk, model, operation, args));
        },
      },
    },
  });
}

/** The model that a method was called on: in a transaction, the transaction's. */
function tenantOf<R>(self: unknown) {
  // The context is the model's delegate, whose type cannot be named from inside the extension that changes it.
  return Prisma.getExtensionContext(self) as unknown as Record<'update' | 'updateMany', (args: Input) => R>;
}

// Prisma can write no `now()` in an update: this process's time only says that there is one, the database's trigger puts
// its own in the place.
function markDeleted(args: unknown): Input {
  const given = args === undefined ? {} : requireInput(args, 'Tenant.delete');
  const where = given.where === undefined ? {} : requireInput(given.where, 'Tenant.delete where');
  return { ...given, where: and(where, LIVE), data: { [FIELD]: new Date() } };
}

function rewrite<A>(walk: Walk, modelName: string, operation: string, args: A): A {
  const walked = walkQuery(walk, modelName, operation, args);
  // The walk keeps the shape that Prisma's types demand; its own types do not know it.
  return hideDeleted(walk.models, modelName, operation, walked) as A;
}

function hideDeleted(models: DataModel, modelName: string, operation: string, args: Input): Input {
  if (!isDeletable(models, modelName) || operation.startsWith('create')) return args;
  if (operation === 'delete' || operation === 'deleteMany') {
    throw new RefusedQueryError(
      `${modelName}.${operation}`,
      `would remove rows: give ${modelName} methods of soft-delete.ts`,
    );
  }
  if (operation === 'upsert' && isInput(args.create) && args.create[FIELD] !== undefined) {
    // With the same value in `where` and `create`, Prisma's single statement would answer null for a row that
    // is deleted, instead of failing.
    throw new RefusedQueryError(
      `${modelName}.upsert create.${FIELD}`,
      'an upsert creates live rows: leave it out',
    );
  }
  const where: Input = isInput(args.where) ? args.where : {};
  return decides(where) ? args : { ...args, where: { ...where, ...LIVE } };
}

/** Whether a `where` itself says which of live and deleted rows it wants. */
function decides(where: Input): boolean {
  if (isCondition(where[FIELD])) return true;
  const branches = [where.OR].flat().filter(isInput);
  return [where.AND].flat().filter(isInput).some(decides) || (branches.length > 0 && branches.every(decides));
}

/** Prisma ignores undefined, and a filter of nothing but undefined: neither is a condition. */
function isCondition(value: unknown): boolean {
  return isInput(value) ? Object.values(value).some(isCondition) : value !== undefined;
}

function softDeleteRules(models: DataModel, visible: ReadonlySet<string>): Rules {
  const reaches = (relation: Relation) => isDeletable(models, relation.model);
  const shows = (relation: Relation) => !relation.isList && visible.has(`${relation.owner}.${relation.name}`);
  return {
    relationFilter(relation, filter, place) {
      if (!reaches(relation)) return filter;
      if (filter.is === null || filter.isNot === null) {
        throw new RefusedQueryError(place, 'a null filter cannot tell absent from deleted: write { is: {} }');
      }
      return relation.isList ? listFilter(filter) : { ...filter, is: and(filter.is, LIVE) };
    },
    read(relation, args, place) {
      if (!reaches(relation) || shows(relation)) return args;
      if (relation.isList) return { ...args, where: and(args.where, LIVE) };
      throw new RefusedQueryError(
        place,
        `may be deleted, and a single related row cannot be filtered: read ${relation.model} by its id, or name ${relation.owner}.${relation.name} in visibleThrough`,
      );
    },
    count: (relation, args) => (reaches(relation) ? { ...args, where: and(args.where, LIVE) } : args),
    orderThrough(relation, place) {
      if (!reaches(relation) || shows(relation)) return;
      throw new RefusedQueryError(place, `would order by deleted rows too: order by own fields`);
    },
    write(relation, verb, place) {
      if (!reaches(relation) || verb === 'create' || verb === 'createMany' || verb === 'connect') return;
      throw new RefusedQueryError(place, `could reach a deleted row: write to ${relation.model} itself`);
    },
    connect: (relation, where) => (reaches(relation) ? and(where, LIVE) : where),
  };
}

function listFilter(filter: Input): Input {
  const rewritten: Record<string, unknown> = {};
  for (const [quantifier, where] of givenEntries(filter)) {
    rewritten[quantifier] =
      quantifier === 'every' ? { OR: [{ [FIELD]: { not: null } }, where] } : and(where, LIVE);
  }
  return rewritten;
}

/** Both conditions, with the unique key of `where`, if it has one, still at its top. */
function and(where: unknown, condition: Input): Input {
  if (!isInput(where)) return condition;
  if (where.AND === undefined && where[FIELD] === undefined) return { ...where, ...condition };
  return { ...where, AND: [...[where.AND ?? []].flat(), condition] };
}

const isDeletable = (models: DataModel, name: string) => modelNamed(models, name).scalars.has(FIELD);

function checkedPaths(models: DataModel, paths: readonly string[]): ReadonlySet<string> {
  for (const path of paths) {
    const [owner = '', field = ''] = path.split('.');
    const relation = models.get(owner)?.relations.get(field);
    if (relation === undefined || relation.isList || !isDeletable(models, relation.model)) {
      throw new Error(`visibleThrough: ${path} is no relation to a single row that can be deleted`);
    }
  }
  return new Set(paths);
}
