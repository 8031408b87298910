/** A column of ciphertexts that belong to tenants. */
export interface SealedColumn {
  /** What a value is called, and several. */
  readonly one: string;
  readonly many: string;
  readonly table: string;
  /** The column with the tenant's id, which is the table's primary key. */
  readonly tenantId: string;
  readonly column: string;
  /** As the key ring knows it. */
  readonly field: string;
}

/** Everything of tenants' that is stored sealed; the registry itself has its index key. */
export const sealedColumns: readonly SealedColumn[] = [
  {
    one: 'contact address',
    many: 'contact addresses',
    table: 'tenants',
    tenantId: 'id',
    column: 'contact_email',
    field: 'contactEmail',
  },
  {
    one: 'password',
    many: 'passwords',
    table: 'tenant_credentials',
    tenantId: 'tenant_id',
    column: 'password',
    field: 'appPassword',
  },
];
