import { type Model, modelNamed, type Relation } from './data-model.ts';
import {
  eachOf,
  givenEntries,
  type Input,
  type Place,
  RefusedQueryError,
  requireInput,
  type Walk,
} from './query-rules.ts';

/** Rewrites a `where`, unique or not, and everything in it. */
export function walkWhere(walk: Walk, model: Model, where: Input, place: Place): Input {
  const rewritten: Record<string, unknown> = {};
  for (const [key, value] of givenEntries(where)) {
    const relation = model.relations.get(key);
    const here = `${place}.${key}`;
    if (key === 'AND' || key === 'OR' || key === 'NOT') {
      rewritten[key] = eachOf(value, here, (branch) => walkWhere(walk, model, branch, here));
    } else if (relation !== undefined) {
      rewritten[key] = walkRelationFilter(walk, relation, value, here);
    } else if (model.scalars.has(key) || model.compoundKeys.has(key)) {
      rewritten[key] = value;
    } else {
      throw new RefusedQueryError(here, `is no field of ${model.name}`);
    }
  }
  return walk.rules.where?.(model, rewritten, place) ?? rewritten;
}

function walkRelationFilter(walk: Walk, relation: Relation, value: unknown, place: Place): Input {
  const model = modelNamed(walk.models, relation.model);
  const quantifiers = relation.isList ? ['some', 'every', 'none'] : ['is', 'isNot'];
  const rewritten: Record<string, unknown> = {};
  for (const [key, inner] of givenEntries(spellOut(relation, value, place))) {
    const here = `${place}.${key}`;
    if (!quantifiers.includes(key)) {
      throw new RefusedQueryError(here, `filters in no known way: write ${quantifiers.join(', ')}`);
    }
    rewritten[key] = inner === null ? null : walkWhere(walk, model, requireInput(inner, here), here);
  }
  return walk.rules.relationFilter?.(relation, rewritten, place) ?? rewritten;
}

/** Turns the short form of a filter on a single related row, its `where` or null, into `{ is }`. */
function spellOut(relation: Relation, value: unknown, place: Place): Input {
  if (relation.isList) return requireInput(value, place);
  if (value === null) return { is: null };
  const filter = requireInput(value, place);
  return 'is' in filter || 'isNot' in filter ? filter : { is: filter };
}

/** A `having` speaks of the group's own fields only. */
export function walkHaving(walk: Walk, model: Model, having: Input, place: Place): void {
  for (const [key, value] of givenEntries(having)) {
    const here = `${place}.${key}`;
    if (key === 'AND' || key === 'OR' || key === 'NOT') {
      eachOf(value, here, (branch) => {
        walkHaving(walk, model, branch, here);
        return branch;
      });
    } else {
      useScalar(walk, model, key, 'having', here);
    }
  }
}

/** A cursor names a row by its key and by nothing else. */
export function walkCursor(walk: Walk, model: Model, cursor: Input, place: Place): void {
  for (const [key] of givenEntries(cursor)) {
    if (!model.compoundKeys.has(key)) useScalar(walk, model, key, 'cursor', `${place}.${key}`);
  }
}

/** Tells the rules of a scalar field's use. @throws RefusedQueryError when it is no scalar field. */
export function useScalar(walk: Walk, model: Model, field: string, use: string, place: Place): void {
  if (!model.scalars.has(field)) {
    throw new RefusedQueryError(place, `is no scalar field of ${model.name}: name one`);
  }
  walk.rules.use?.(model, field, use, place);
}
