import { getDatamodel } from '../../generated/pothos.ts';

/** A relation field: `owner.name` leads to one or many of `model`. */
export interface Relation {
  readonly owner: string;
  readonly name: string;
  readonly model: string;
  readonly isList: boolean;
}

/** What the extensions need to know of a model. */
export interface Model {
  readonly name: string;
  readonly scalars: ReadonlySet<string>;
  readonly relations: ReadonlyMap<string, Relation>;
  /** Names of multi-column keys, as a unique `where` spells them. */
  readonly compoundKeys: ReadonlySet<string>;
}

export type DataModel = ReadonlyMap<string, Model>;

/**
 * The models of prisma/schema.prisma. Read from the data model that is generated for Pothos: the one inside
 * Prisma's client no longer says which relations are lists.
 */
export function readDataModel(): DataModel {
  const models = new Map<string, Model>();
  for (const [name, { fields, primaryKey, uniqueIndexes }] of Object.entries(
    getDatamodel().datamodel.models,
  )) {
    const relations = fields.filter((field) => field.kind === 'object');
    const keys = primaryKey === null ? uniqueIndexes : [primaryKey, ...uniqueIndexes];
    models.set(name, {
      name,
      scalars: new Set(fields.filter((field) => field.kind !== 'object').map((field) => field.name)),
      relations: new Map(
        relations.map((field) => [
          field.name,
          { owner: name, name: field.name, model: field.type, isList: field.isList },
        ]),
      ),
      compoundKeys: new Set(
        keys.filter((key) => key.fields.length > 1).map((key) => key.name ?? key.fields.join('_')),
      ),
    });
  }
  return models;
}

/** @throws Error when the schema has no such model: the generated code is stale. */
export function modelNamed(models: DataModel, name: string): Model {
  const model = models.get(name);
  if (model === undefined) throw new Error(`no model ${name}: run npm run generate`);
  return model;
}
