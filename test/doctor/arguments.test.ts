import { describe, expect, test } from 'vitest';
import { readDoctorArguments } from '../../src/doctor/arguments.ts';

const id = '5b8f3ac0-6b8f-4d5c-9d6c-0a0a0a0a0a0a';

describe('the doctor’s command line', () => {
  test.each<[readonly string[], object]>([
    [[], { tenantId: null, fix: false, others: [] }],
    [['--fix'], { tenantId: null, fix: true, others: [] }],
    [['--tenant', id], { tenantId: id, fix: false, others: [] }],
    [[`--tenant=${id.toUpperCase()}`, '--fix=true'], { tenantId: id, fix: true, others: [] }],
    [
      ['--db-host', 'a', '--fix', '--tenant-migrations=x', '--help'],
      { tenantId: null, fix: true, others: ['--db-host', 'a', '--tenant-migrations=x', '--help'] },
    ],
  ])('%j is read', (argv, read) => {
    expect(readDoctorArguments(argv)).toEqual(read);
  });

  test.each<[readonly string[], string]>([
    [['--fix=no'], '--fix takes nothing'],
    [['--tenant'], '--tenant takes the id of a tenant, a UUID'],
    [['--tenant=acme'], '--tenant takes the id of a tenant, a UUID'],
    [['--tenant', id, '--tenant', id], '--tenant is given twice'],
  ])('%j is refused', (argv, line) => {
    expect(() => readDoctorArguments(argv)).toThrow(line);
  });
});
