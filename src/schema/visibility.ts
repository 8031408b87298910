/** The node, unless it is a tenant that was deleted: `node` and `nodes` show those to nobody. */
export function hideDeleted(node: unknown): unknown {
  const isDeleted =
    typeof node === 'object' && node !== null && 'deletedAt' in node && node.deletedAt !== null;
  return isDeleted ? null : node;
}
