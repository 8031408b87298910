/** Whether an error carries this `code`: one of the operating system (`ENOENT`) or an SQLSTATE (`57P03`). */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)
  );
}
