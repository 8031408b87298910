import type { DataModel, Model, Relation } from './data-model.ts';

/** An object of a Prisma query: arguments, a `where`, a `select`, data. */
export type Input = Readonly<Record<string, unknown>>;

/**
 * A query that an extension does not let through, because it would read or write around it. The message names
 * the place in the query and what to write instead, never a value.
 */
export class RefusedQueryError extends Error {
  override readonly name = 'RefusedQueryError';
  constructor(place: Place, reason: string) {
    super(`${place}: ${reason}`);
  }
}

/** Where in a query we are, such as `Operation.findMany where.tenant.is`. */
export type Place = string;

export type NestedWrite =
  | 'create'
  | 'createMany'
  | 'connect'
  | 'connectOrCreate'
  | 'update'
  | 'updateMany'
  | 'upsert'
  | 'set'
  | 'disconnect'
  | 'delete'
  | 'deleteMany';

/**
 * What an extension makes of the places of a query. The walk calls a rule after everything inside its place is
 * rewritten, and puts its result there. A rule refuses by throwing {@link RefusedQueryError}; a rule that is
 * absent leaves its places as they are.
 */
export interface Rules {
  /** A filter on `model`, wherever it stands: at the top, under AND, OR and NOT, in relation filters, nested. */
  where?(model: Model, where: Input, place: Place): Input;
  /** `{ some, every, none }` of a list; `{ is, isNot }` of a single one, also when written in the short form. */
  relationFilter?(relation: Relation, filter: Input, place: Place): Input;
  /** A relation that is read by `select` or `include`, with its own arguments, `{}` when it has none. */
  read?(relation: Relation, args: Input, place: Place): Input;
  /** A list that is counted in `_count`, with its own `where`, `{}` when it has none. */
  count?(relation: Relation, args: Input, place: Place): Input;
  /** Ordering by a field of a related row, or by how many there are. */
  orderThrough?(relation: Relation, place: Place): void;
  /** A scalar field used other than to filter, read or write it: `orderBy`, `distinct`, `by`, `_min`, … */
  use?(model: Model, field: string, use: string, place: Place): void;
  /** A write to related rows. */
  write?(relation: Relation, verb: NestedWrite, place: Place): void;
  /** The unique `where` by which `connect` finds a related row. */
  connect?(relation: Relation, where: Input, place: Place): Input;
}

/** What a walk carries along. */
export interface Walk {
  readonly models: DataModel;
  readonly rules: Rules;
}

/** Whether this is an object with keys of its own, not a date, a list, bytes or a field reference. */
export function isInput(value: unknown): value is Input {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** @throws RefusedQueryError when this is not a plain object. */
export function requireInput(value: unknown, place: Place): Input {
  if (isInput(value)) return value;
  throw new RefusedQueryError(place, 'is not a plain object: write one, so that it can be examined');
}

/** Prisma takes one or a list in many places: applies `rewrite` to the one or to each. */
export function eachOf(value: unknown, place: Place, rewrite: (input: Input) => Input): Input | Input[] {
  if (!Array.isArray(value)) return rewrite(requireInput(value, place));
  return value.map((item) => rewrite(requireInput(item, place)));
}

/** The entries that count: for Prisma a key whose value is undefined is not there. */
export function givenEntries(input: Input): [string, unknown][] {
  return Object.entries(input).filter(([, value]) => value !== undefined);
}
