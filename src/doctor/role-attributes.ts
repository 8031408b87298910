/** SQL, elements of an array: what no role of ours is, for a row of pg_roles. */
export const excessAttributes = `
  CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
  CASE WHEN rolreplication THEN 'REPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END`;
