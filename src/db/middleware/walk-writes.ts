import { type Model, modelNamed, type Relation } from './data-model.ts';
import {
  eachOf,
  givenEntries,
  type Input,
  isInput,
  type NestedWrite,
  type Place,
  RefusedQueryError,
  requireInput,
  type Walk,
} from './query-rules.ts';
import { walkWhere } from './walk-filters.ts';

/** Rewrites what the writes to related rows inside `data` say; scalar values stay as they are. */
export function walkData(walk: Walk, model: Model, data: Input, place: Place): Input {
  const rewritten: Record<string, unknown> = {};
  for (const [key, value] of givenEntries(data)) {
    const relation = model.relations.get(key);
    const here = `${place}.${key}`;
    if (relation !== undefined) {
      rewritten[key] = walkNestedWrites(walk, relation, requireInput(value, here), here);
    } else if (model.scalars.has(key)) {
      rewritten[key] = value;
    } else {
      throw new RefusedQueryError(here, `is no field of ${model.name}`);
    }
  }
  return rewritten;
}

type WalkVerb = (walk: Walk, relation: Relation, value: unknown, place: Place) => unknown;

const part = (walk: Walk, model: Model, key: string, value: unknown, place: Place): unknown => {
  const here = `${place}.${key}`;
  if (key === 'where') return walkWhere(walk, model, requireInput(value, here), here);
  if (key === 'data' || key === 'create' || key === 'update') {
    return eachOf(value, here, (data) => walkData(walk, model, data, here));
  }
  if (key === 'skipDuplicates' || key === 'limit') return value;
  throw new RefusedQueryError(here, 'is no known part of a nested write');
};

/** A verb whose value is an object of parts, such as `{ where, create, update }`, or a list of them. */
const parts: WalkVerb = (walk, relation, value, place) => {
  const model = modelNamed(walk.models, relation.model);
  return eachOf(value, place, (input) =>
    Object.fromEntries(
      givenEntries(input).map(([key, inner]) => [key, part(walk, model, key, inner, place)]),
    ),
  );
};

/** A verb whose value is a row's data, or a list of them. */
const rows: WalkVerb = (walk, relation, value, place) => {
  const model = modelNamed(walk.models, relation.model);
  return eachOf(value, place, (data) => walkData(walk, model, data, place));
};

/** A verb whose value finds rows: a `where`, a list of them, or true for the single row that is there. */
const filters: WalkVerb = (walk, relation, value, place) => {
  if (typeof value === 'boolean') return value;
  const model = modelNamed(walk.models, relation.model);
  return eachOf(value, place, (where) => walkWhere(walk, model, where, place));
};

const verbs: Readonly<Record<NestedWrite, WalkVerb>> = {
  create: rows,
  createMany: parts,
  connectOrCreate: parts,
  updateMany: parts,
  upsert: parts,
  // A single related row may be updated by its bare data, without `where` and `data` around it.
  update: (walk, relation, value, place) =>
    relation.isList || (isInput(value) && 'data' in value)
      ? parts(walk, relation, value, place)
      : rows(walk, relation, value, place),
  connect: (walk, relation, value, place) => {
    const model = modelNamed(walk.models, relation.model);
    return eachOf(value, place, (where) => {
      const rewritten = walkWhere(walk, model, where, place);
      return walk.rules.connect?.(relation, rewritten, place) ?? rewritten;
    });
  },
  set: filters,
  disconnect: filters,
  delete: filters,
  deleteMany: filters,
};

const isVerb = (key: string): key is NestedWrite => Object.hasOwn(verbs, key);

function walkNestedWrites(walk: Walk, relation: Relation, writes: Input, place: Place): Input {
  const rewritten: Record<string, unknown> = {};
  for (const [verb, value] of givenEntries(writes)) {
    const here = `${place}.${verb}`;
    if (!isVerb(verb)) throw new RefusedQueryError(here, 'is no known nested write');
    walk.rules.write?.(relation, verb, here);
    rewritten[verb] = verbs[verb](walk, relation, value, here);
  }
  return rewritten;
}
