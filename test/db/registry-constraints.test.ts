import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { asAdministrator } from '../support/database.ts';
import { inserted, type RegistryRows, tenantRow } from './registry-rows.ts';

let rows: RegistryRows;
let tenantId = '';
let operationId = '';

beforeAll(async () => {
  rows = await inserted();
});
afterAll(() => rows[Symbol.asyncDispose]());

beforeEach(async () => {
  tenantId = await rows.insert('tenants', tenantRow());
  operationId = await rows.insert('operations', operation());
});

const finished = { state: 'SUCCEEDED', finished_at: new Date() };
const operation = () => ({ id: randomUUID(), tenant_id: tenantId, kind: 'MIGRATE', ...finished });
const step = () => ({ operation_id: operationId, position: 0, name: 'create_role' });
const event = () => ({
  tenant_id: tenantId,
  sequence: 1,
  operation_id: operationId,
  kind: 'MIGRATE',
  operation_state: 'PENDING',
  step: 'create_role',
  status: 'PENDING',
  completed_steps: 0,
  total_steps: 5,
  tenant_status: 'PROVISIONING',
});
const idempotencyKey = () => ({
  subject: 'somebody',
  key: randomUUID(),
  input_hash: 'h',
  tenant_id: tenantId,
  expires_at: new Date(Date.now() + 3_600_000),
});
const auditEntry = () => ({
  subject: 'somebody',
  role: 'admin',
  transport: 'GRPC',
  action: 'CREATE_TENANT',
});
const now = new Date();
const sealed = `v1:key:${'n'.repeat(16)}:${'c'.repeat(22)}`;

describe('a tenant is refused', () => {
  test.each([
    ['without a name', 'tenants_name_check', { name: '' }],
    ['with blanks around its name', 'tenants_name_check', { name: ' Acme' }],
    ['with a name of 101 characters', 'tenants_name_check', { name: '😀'.repeat(101) }],
    ['with a control character in its name', 'tenants_name_check', { name: 'Ac\u0007me' }],
    ['with a C1 control character in its name', 'tenants_name_check', { name: 'Ac\u0085me' }],
    ['without a subdomain', 'tenants_subdomain_check', { subdomain: '' }],
    ['with a capital in its subdomain', 'tenants_subdomain_check', { subdomain: 'Acme' }],
    ['with a letter that is not ASCII in its subdomain', 'tenants_subdomain_check', { subdomain: 'ácme' }],
    ['with a subdomain of two labels', 'tenants_subdomain_check', { subdomain: 'acme.shop' }],
    ['with a hyphen at the front of its subdomain', 'tenants_subdomain_check', { subdomain: '-acme' }],
    ['with a hyphen at the end of its subdomain', 'tenants_subdomain_check', { subdomain: 'acme-' }],
    ['with a line break behind its subdomain', 'tenants_subdomain_check', { subdomain: 'acme\n' }],
    ['with a subdomain of 64 characters', 'tenants_subdomain_check', { subdomain: 'a'.repeat(64) }],
    ['with a plain address', 'tenants_contact_email_check', { contact_email: 'owner@acme.example' }],
    [
      'with an address that only begins like ciphertext',
      'tenants_contact_email_check',
      { contact_email: `v1:owner@acme.example:${sealed}` },
    ],
    [
      'with ciphertext without its tag',
      'tenants_contact_email_check',
      { contact_email: sealed.slice(0, -1) },
    ],
    [
      'with a plain address as blind index',
      'tenants_contact_email_index_check',
      { contact_email_index: 'owner@acme.example' },
    ],
    ['without a tier', 'tenants_tier_check', { tier: '' }],
    ['with a tier of 51 characters', 'tenants_tier_check', { tier: 't'.repeat(51) }],
    ['with a control character in its tier', 'tenants_tier_check', { tier: 'gold\t1' }],
    ['at version 0', 'tenants_version_check', { version: 0 }],
    ['at a schema version below 0', 'tenants_schema_version_check', { schema_version: -1 }],
  ])('%s', async (_, constraint, values) => {
    await expect(rows.insert('tenants', { ...tenantRow(), ...values })).rejects.toMatchObject({ constraint });
  });
});

describe('what belongs to a tenant is refused:', () => {
  test.each<[string, string, string, () => Record<string, unknown>]>([
    [
      'an operation of nobody',
      'operations_tenant_id_fkey',
      'operations',
      () => ({ ...operation(), tenant_id: randomUUID() }),
    ],
    ['an attempt below 0', 'operations_attempt_check', 'operations', () => ({ ...operation(), attempt: -1 })],
    ['a fence below 0', 'operations_fence_check', 'operations', () => ({ ...operation(), fence: -1 })],
    [
      'an end of an operation that runs',
      'operations_finished_check',
      'operations',
      () => ({ ...operation(), state: 'RUNNING' }),
    ],
    [
      'a finished operation without its end',
      'operations_finished_check',
      'operations',
      () => ({ ...operation(), finished_at: null }),
    ],
    [
      'a failure without its reason',
      'operations_failed_check',
      'operations',
      () => ({ ...operation(), state: 'FAILED' }),
    ],
    [
      'a next attempt of what is finished',
      'operations_next_attempt_check',
      'operations',
      () => ({ ...operation(), next_attempt_at: now }),
    ],
    [
      'a step at a position below 0',
      'operation_steps_position_check',
      'operation_steps',
      () => ({ ...step(), position: -1 }),
    ],
    [
      'a pending step that began',
      'operation_steps_started_check',
      'operation_steps',
      () => ({ ...step(), started_at: now }),
    ],
    [
      'a step in progress that never began',
      'operation_steps_started_check',
      'operation_steps',
      () => ({ ...step(), status: 'IN_PROGRESS' }),
    ],
    [
      'a successful step without its end',
      'operation_steps_finished_check',
      'operation_steps',
      () => ({ ...step(), status: 'SUCCESS', started_at: now }),
    ],
    [
      'a failed step without its reason',
      'operation_steps_error_check',
      'operation_steps',
      () => ({ ...step(), status: 'FAILED', started_at: now, finished_at: now }),
    ],
    [
      'an event at sequence 0',
      'provisioning_events_sequence_check',
      'provisioning_events',
      () => ({ ...event(), sequence: 0 }),
    ],
    [
      'an event with more steps done than there are',
      'provisioning_events_steps_check',
      'provisioning_events',
      () => ({ ...event(), completed_steps: 6 }),
    ],
    [
      'an event of an operation without steps',
      'provisioning_events_steps_check',
      'provisioning_events',
      () => ({ ...event(), total_steps: 0 }),
    ],
    [
      'an empty idempotency key',
      'idempotency_keys_key_check',
      'idempotency_keys',
      () => ({ ...idempotencyKey(), key: '' }),
    ],
    [
      'an idempotency key of 256 characters',
      'idempotency_keys_key_check',
      'idempotency_keys',
      () => ({ ...idempotencyKey(), key: 'k'.repeat(256) }),
    ],
    [
      'an idempotency key that never lived',
      'idempotency_keys_expires_check',
      'idempotency_keys',
      () => ({ ...idempotencyKey(), expires_at: new Date(0) }),
    ],
    [
      'a password in the clear',
      'tenant_credentials_password_check',
      'tenant_credentials',
      () => ({ tenant_id: tenantId, password: 'secret' }),
    ],
  ])('%s', async (_, constraint, table, values) => {
    await expect(rows.insert(table, values())).rejects.toMatchObject({ constraint });
  });
});

describe('unique is', () => {
  test('the subdomain of live tenants, and free again when its tenant is deleted', async () => {
    const subdomain = `s-${randomUUID().slice(0, 8)}`;
    const first = await rows.insert('tenants', { ...tenantRow(), subdomain });
    const again = () => rows.insert('tenants', { ...tenantRow(), subdomain });
    await expect(again()).rejects.toMatchObject({ constraint: 'tenants_live_subdomain_key' });
    await rows.query('UPDATE tenants SET deleted_at = now() WHERE id = $1', [first]);
    await again();
    await expect(
      rows.query('UPDATE tenants SET deleted_at = NULL WHERE id = $1', [first]),
    ).rejects.toMatchObject({ constraint: 'tenants_live_subdomain_key' });
  });

  test.each(['PENDING', 'RUNNING'])('an unfinished operation of a tenant that is %s', async (state) => {
    await rows.insert('operations', { ...operation(), state, finished_at: null });
    const second = rows.insert('operations', { ...operation(), state: 'PENDING', finished_at: null });
    await expect(second).rejects.toMatchObject({ constraint: 'operations_unfinished_key' });
    await rows.insert('operations', operation());
  });

  test('a sequence of a tenant, a position of an operation, a key of a subject', async () => {
    for (const [table, values, constraint] of [
      ['provisioning_events', event(), 'provisioning_events_pkey'],
      ['operation_steps', step(), 'operation_steps_pkey'],
      ['idempotency_keys', idempotencyKey(), 'idempotency_keys_pkey'],
    ] as const) {
      await rows.insert(table, values);
      await expect(rows.insert(table, values)).rejects.toMatchObject({ constraint });
    }
  });

  test('the registry itself', async () => {
    await rows.query('INSERT INTO registry VALUES ($1, $2) ON CONFLICT DO NOTHING', [randomUUID(), 'k']);
    const second = rows.query('INSERT INTO registry VALUES ($1, $2)', [randomUUID(), 'k']);
    await expect(second).rejects.toMatchObject({ constraint: 'registry_single_row_key' });
  });
});

describe('an entry of the audit log is refused', () => {
  test.each<[string, string, Record<string, unknown>]>([
    ['without a subject', 'audit_entries_subject_check', { subject: '' }],
    ['with a subject of 256 characters', 'audit_entries_subject_check', { subject: 's'.repeat(256) }],
    ['with a role that there is not', 'audit_entries_role_check', { role: 'owner' }],
    ['with a field that tenants have not', 'audit_entries_fields_check', { fields: ['jo@acme.example'] }],
    ['with a field between others', 'audit_entries_fields_check', { fields: ['name', 'x'] }],
    ['without a list of fields', 'audit_entries_fields_check', { fields: null }],
    ['with text as its result', 'audit_entries_result_check', { result: 'Refused: jo@acme.example' }],
  ])('%s', async (_case, constraint, values) => {
    const refused = rows.insert('audit_entries', { ...auditEntry(), ...values });
    await expect(refused).rejects.toMatchObject({ constraint });
  });

  test('with text as its address', async () => {
    const refused = rows.insert('audit_entries', { ...auditEntry(), address: 'jo@acme.example' });
    await expect(refused).rejects.toMatchObject({ code: '22P02' });
  });
});

describe('the history stays:', () => {
  const kept = [
    'tenants',
    'operations',
    'operation_steps',
    'provisioning_events',
    'audit_entries',
    'registry',
  ];
  const removals = kept.flatMap((table) =>
    [`DELETE FROM ${table}`, `TRUNCATE ${table}`, `TRUNCATE ${table} CASCADE`].map((sql) => [sql]),
  );

  test.each([
    ...removals,
    ['UPDATE provisioning_events SET message = NULL'],
    [`UPDATE audit_entries SET result = 'OK'`],
  ])('%s is refused, to the superuser too', async (sql) => {
    await rows.insert('operation_steps', step());
    await rows.insert('provisioning_events', event());
    await rows.insert('audit_entries', auditEntry());
    const before = await counts();
    for (const run of [() => rows.query(sql), () => asAdministrator(rows.database.administrator, sql)]) {
      // A TRUNCATE that names no referencing table may fail on that first.
      const code = expect.stringMatching(/^(23001|0A000)$/);
      await expect(run()).rejects.toMatchObject({ code });
    }
    expect(await counts()).toEqual(before);
  });

  async function counts() {
    const list = kept.map((table) => `(SELECT count(*) FROM ${table}) AS ${table}`).join(', ');
    return rows.query(`SELECT ${list}`);
  }
});
