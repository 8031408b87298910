-- A tenant's sequence is drawn from its newest operation: who tells of a step holds that row anyway, and leaves the
-- tenant's, with its many indexes, alone.
ALTER TABLE "operations" ADD COLUMN "last_sequence" INTEGER NOT NULL DEFAULT 0;
UPDATE "operations" SET "last_sequence" = "newest"."sequence"
FROM (SELECT "operation_id", max("sequence") AS "sequence" FROM "provisioning_events" GROUP BY "operation_id") AS "newest"
WHERE "operations"."id" = "newest"."operation_id";
ALTER TABLE "tenants" DROP COLUMN "last_sequence";

-- An event's tenant is its operation's.
ALTER TABLE "provisioning_events" DROP CONSTRAINT "provisioning_events_tenant_id_fkey";
