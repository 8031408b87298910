/**
 * SQL to run before and behind what the tenant's owner is to do, in one transaction with it. The service takes the
 * membership only for that: memberships that are kept make every later permission check slower.
 */
export function asOwner(owner: string): { readonly before: string; readonly after: string } {
  return {
    before: `GRANT ${owner} TO CURRENT_USER; SET LOCAL ROLE ${owner};\n`,
    after: `\n; RESET ROLE; REVOKE ${owner} FROM CURRENT_USER`,
  };
}
