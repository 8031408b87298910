import { type Model, modelNamed, type Relation } from './data-model.ts';
import {
  eachOf,
  givenEntries,
  type Input,
  isInput,
  type Place,
  RefusedQueryError,
  requireInput,
  type Walk,
} from './query-rules.ts';
import { useScalar, walkCursor, walkHaving, walkWhere } from './walk-filters.ts';
import { walkData } from './walk-writes.ts';

/**
 * Walks the arguments of one Prisma operation and returns them as the rules rewrite them. The walk knows every
 * key that Prisma's operations take; one that it does not know could hide anything, so it is refused.
 * @throws RefusedQueryError
 */
export function walkQuery(walk: Walk, modelName: string, operation: string, args: unknown): Input {
  const model = modelNamed(walk.models, modelName);
  const place = `${modelName}.${operation}`;
  if (!OPERATIONS.has(operation)) {
    throw new RefusedQueryError(place, 'is an operation that the extensions do not know: use a known one');
  }
  if (args === undefined || args === null) return {};
  return walkArguments(walk, model, requireInput(args, place), `${place} `, operation === 'count');
}

const OPERATIONS: ReadonlySet<string> = new Set(
  `findUnique findUniqueOrThrow findFirst findFirstOrThrow findMany count aggregate groupBy create createMany
   createManyAndReturn update updateMany updateManyAndReturn upsert delete deleteMany`.split(/\s+/),
);

type WalkArgument = (walk: Walk, model: Model, value: unknown, place: Place) => unknown;

const plain: WalkArgument = (_walk, _model, value) => value;
const data: WalkArgument = (walk, model, value, place) =>
  eachOf(value, place, (row) => walkData(walk, model, row, place));
const selection: WalkArgument = (walk, model, value, place) =>
  value === null ? null : walkSelection(walk, model, requireInput(value, place), place);
const aggregates =
  (use: string): WalkArgument =>
  (walk, model, value, place) => {
    if (!isInput(value)) return value;
    for (const [field] of givenEntries(value)) {
      if (field !== '_all') useScalar(walk, model, field, use, `${place}.${field}`);
    }
    return value;
  };
const fieldNames =
  (use: string): WalkArgument =>
  (walk, model, value, place) => {
    for (const field of [value].flat()) useScalar(walk, model, String(field), use, place);
    return value;
  };

const ARGUMENTS: ReadonlyMap<string, WalkArgument> = new Map(
  Object.entries<WalkArgument>({
    where: (walk, model, value, place) => walkWhere(walk, model, requireInput(value, place), place),
    select: selection,
    include: selection,
    omit: plain,
    orderBy: (walk, model, value, place) =>
      eachOf(value, place, (order) => walkOrder(walk, model, order, place)),
    cursor: (walk, model, value, place) => {
      walkCursor(walk, model, requireInput(value, place), place);
      return value;
    },
    having: (walk, model, value, place) => {
      walkHaving(walk, model, requireInput(value, place), place);
      return value;
    },
    distinct: fieldNames('distinct'),
    by: fieldNames('by'),
    _count: aggregates('_count'),
    _sum: aggregates('_sum'),
    _avg: aggregates('_avg'),
    _min: aggregates('_min'),
    _max: aggregates('_max'),
    data,
    create: data,
    update: data,
    take: plain,
    skip: plain,
    limit: plain,
    skipDuplicates: plain,
  }),
);

function walkArguments(walk: Walk, model: Model, args: Input, place: Place, isCount = false): Input {
  const rewritten: Record<string, unknown> = {};
  for (const [key, value] of givenEntries(args)) {
    const here = `${place}${key}`;
    const walkArgument = ARGUMENTS.get(key);
    if (walkArgument === undefined) {
      throw new RefusedQueryError(here, 'is an argument that the extensions do not know: leave it out');
    }
    // `count` has a `select` of another kind: the fields whose values are counted.
    const walked = isCount && key === 'select' ? aggregates('_count') : walkArgument;
    rewritten[key] = walked(walk, model, value, here);
  }
  return rewritten;
}

function walkSelection(walk: Walk, model: Model, chosen: Input, place: Place): Input {
  const rewritten: Record<string, unknown> = {};
  for (const [key, value] of givenEntries(chosen)) {
    const here = `${place}.${key}`;
    const relation = model.relations.get(key);
    if (value === false || model.scalars.has(key)) {
      rewritten[key] = value;
    } else if (key === '_count') {
      rewritten[key] = walkCounts(walk, model, value, here);
    } else if (relation !== undefined) {
      const target = modelNamed(walk.models, relation.model);
      const args = value === true ? {} : walkArguments(walk, target, requireInput(value, here), `${here}.`);
      rewritten[key] = orTrue(walk.rules.read?.(relation, args, here) ?? args);
    } else {
      throw new RefusedQueryError(here, `is no field of ${model.name}`);
    }
  }
  return rewritten;
}

/** `_count: true` counts every list: spelt out, so that each count can be given its own filter. */
function walkCounts(walk: Walk, model: Model, value: unknown, place: Place): unknown {
  const lists = [...model.relations.values()].filter((relation) => relation.isList);
  const chosen =
    value === true
      ? Object.fromEntries(lists.map((relation) => [relation.name, true]))
      : requireInput(requireInput(value, place).select, `${place}.select`);
  const counts: Record<string, unknown> = {};
  for (const [key, choice] of givenEntries(chosen)) {
    const here = `${place}.select.${key}`;
    const relation = model.relations.get(key);
    if (!relation?.isList) throw new RefusedQueryError(here, `is no list of ${model.name}`);
    counts[key] = choice === false ? false : walkCount(walk, relation, choice, here);
  }
  return { select: counts };
}

function walkCount(walk: Walk, relation: Relation, choice: unknown, place: Place): true | Input {
  const target = modelNamed(walk.models, relation.model);
  const args = choice === true ? {} : walkArguments(walk, target, requireInput(choice, place), `${place}.`);
  return orTrue(walk.rules.count?.(relation, args, place) ?? args);
}

const orTrue = (args: Input): true | Input => (Object.keys(args).length === 0 ? true : args);

function walkOrder(walk: Walk, model: Model, order: Input, place: Place): Input {
  for (const [key, value] of givenEntries(order)) {
    const here = `${place}.${key}`;
    const relation = model.relations.get(key);
    if (relation !== undefined) {
      walk.rules.orderThrough?.(relation, here);
      // A list orders by its `_count` alone, which names no field.
      if (!relation.isList) {
        walkOrder(walk, modelNamed(walk.models, relation.model), requireInput(value, here), here);
      }
    } else if (AGGREGATES.has(key)) {
      aggregates(`orderBy.${key}`)(walk, model, requireInput(value, here), here);
    } else {
      useScalar(walk, model, key, 'orderBy', here);
    }
  }
  return order;
}

const AGGREGATES: ReadonlySet<string> = new Set(['_count', '_sum', '_avg', '_min', '_max']);
