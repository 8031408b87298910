/** What the doctor is asked for, beside the service's own flags. */
export interface DoctorArguments {
  /** One tenant; null: all of them. */
  readonly tenantId: string | null;
  readonly fix: boolean;
  /** The flags of the service, which say where the database is. */
  readonly others: readonly string[];
}

export const doctorUsage = `Usage: npm run doctor -- [--fix] [--tenant id] [flags of the service] …

  --fix          mend what can be mended without touching data or what somebody else made
  --tenant <id>  check this tenant alone

Exit code: 0 when all is well, 1 when something is not (or was not mended), 2 when it cannot be checked.
`;

const uuid = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/**
 * Takes the doctor's flags out of a command line.
 * @throws Error in one line
 */
export function readDoctorArguments(argv: readonly string[]): DoctorArguments {
  const others: string[] = [];
  let tenantId: string | null = null;
  let fix = false;
  const words = argv.values();
  for (const word of words) {
    const [, name, value] = /^--(tenant|fix)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === undefined) others.push(word);
    else if (name === 'fix') {
      if (value !== undefined && value !== 'true') throw new Error('--fix takes nothing');
      fix = true;
    } else {
      if (tenantId !== null) throw new Error('--tenant is given twice');
      tenantId = (value ?? words.next().value ?? '').toLowerCase();
      if (!uuid.test(tenantId)) throw new Error('--tenant takes the id of a tenant, a UUID');
    }
  }
  return { tenantId, fix, others };
}
