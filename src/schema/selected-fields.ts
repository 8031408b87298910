import { type ASTNode, BREAK, type GraphQLResolveInfo, visit } from 'graphql';

/** Whether a field by this name stands anywhere in what is selected of the one that is resolved; skipped ones count. */
export function selects({ fieldNodes, fragments }: GraphQLResolveInfo, name: string): boolean {
  let isFound = false;
  const seen = new Set<string>();
  const search = (node: ASTNode) => {
    visit(node, {
      Field(field) {
        if (field.name.value !== name) return undefined;
        isFound = true;
        return BREAK;
      },
      FragmentSpread(spread) {
        const fragment = fragments[spread.name.value];
        if (fragment === undefined || seen.has(spread.name.value)) return;
        seen.add(spread.name.value);
        search(fragment);
      },
    });
  };
  fieldNodes.forEach(search);
  return isFound;
}
