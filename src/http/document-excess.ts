import { type DocumentNode, type FragmentDefinitionNode, Kind, type SelectionSetNode, visit } from 'graphql';

/**
 * What a document may have. A dashboard's largest query has about 150 tokens, a depth of 8 and a handful of aliases;
 * GraphiQL's introspection query has 460 tokens, and its depth does not count.
 */
export const documentLimits = {
  /** Characters. Documents are kept to be known again, whole. */
  length: 16 * 1024,
  /** Names, punctuators and values. */
  tokens: 2_000,
  /** Fields within fields, those of fragments at their place. */
  depth: 12,
  aliases: 30,
  directives: 20,
  /** Directives of one field, fragment or operation; more than two make sense nowhere. */
  directivesAtOnce: 4,
  /** Fields that stand once more in the braces where they stand already. */
  repetitions: 20,
};

/** What is too much about a document, as a sentence; null when nothing is. It may be no valid document. */
export function excessOf(document: DocumentNode): string | null {
  const found = { depth: depthOf(document), aliases: 0, directives: 0, directivesAtOnce: 0, repetitions: 0 };
  visit(document, {
    enter(node) {
      const directives = 'directives' in node ? (node.directives?.length ?? 0) : 0;
      found.directives += directives;
      found.directivesAtOnce = Math.max(found.directivesAtOnce, directives);
      if (node.kind === Kind.FIELD && node.alias !== undefined) found.aliases += 1;
      if (node.kind === Kind.SELECTION_SET) found.repetitions += repetitionsIn(node);
    },
  });
  for (const [limit, what] of names) {
    if (found[limit] > documentLimits[limit]) return sentence(found[limit], what, documentLimits[limit]);
  }
  return null;
}

const names = [
  ['depth', 'levels of fields'],
  ['aliases', 'aliases'],
  ['directives', 'directives'],
  ['directivesAtOnce', 'directives in one place'],
  ['repetitions', 'repeated fields'],
] as const;

function repetitionsIn({ selections }: SelectionSetNode): number {
  const keys = selections
    .filter((selection) => selection.kind === Kind.FIELD)
    .map(({ alias, name }) => (alias ?? name).value);
  return keys.length - new Set(keys).size;
}

/** How the sentences of all limits on documents read. */
export function sentence(found: number | string, what: string, limit: number): string {
  return `The document has ${found} ${what}; at most ${limit} are allowed.`;
}

/** Introspection is left out: where it is allowed, graphql-js bounds it by a rule of its own. */
function depthOf(document: DocumentNode): number {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  // Each fragment is walked once, or a few of them would unfold to millions of fields.
  const known = new Map<string, number>();

  function ofFragment(name: string): number {
    const depth = known.get(name);
    if (depth !== undefined) return depth;
    // Also what a fragment within itself counts as, which validation refuses.
    known.set(name, 0);
    const fragment = fragments.get(name);
    if (fragment === undefined) return 0;
    const found = ofSelections(fragment.selectionSet);
    known.set(name, found);
    return found;
  }

  function ofSelections(set: SelectionSetNode | undefined): number {
    let deepest = 0;
    for (const selection of set?.selections ?? []) {
      const depth =
        selection.kind === Kind.FRAGMENT_SPREAD
          ? ofFragment(selection.name.value)
          : selection.kind === Kind.INLINE_FRAGMENT
            ? ofSelections(selection.selectionSet)
            : isIntrospection(selection.name.value)
              ? 0
              : 1 + ofSelections(selection.selectionSet);
      deepest = Math.max(deepest, depth);
    }
    return deepest;
  }

  return Math.max(
    0,
    ...document.definitions.map((definition) =>
      definition.kind === Kind.OPERATION_DEFINITION ? ofSelections(definition.selectionSet) : 0,
    ),
  );
}

function isIntrospection(field: string): boolean {
  return field === '__schema' || field === '__type';
}
