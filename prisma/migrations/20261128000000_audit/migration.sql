-- CreateEnum
CREATE TYPE "audit_action" AS ENUM ('CREATE_TENANT', 'UPDATE_TENANT', 'SUSPEND_TENANT', 'RESUME_TENANT', 'DELETE_TENANT', 'RESTORE_TENANT', 'RETRY_OPERATION', 'CANCEL_OPERATION', 'TAKE_LEASE', 'RELEASE_LEASE');

-- CreateEnum
CREATE TYPE "audit_transport" AS ENUM ('GRAPHQL', 'GRPC');

-- CreateTable
CREATE TABLE "audit_entries" (
    "id" BIGSERIAL NOT NULL,
    "subject" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "transport" "audit_transport" NOT NULL,
    "address" INET,
    "action" "audit_action" NOT NULL,
    "tenant_id" UUID,
    "operation_id" UUID,
    "lease_id" UUID,
    "fields" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "result" TEXT NOT NULL DEFAULT 'OK',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "audit_entries_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "audit_entries_created_at_id_idx" ON "audit_entries"("created_at", "id");

-- CreateIndex
CREATE INDEX "audit_entries_tenant_id_created_at_id_idx" ON "audit_entries"("tenant_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "audit_entries_subject_created_at_id_idx" ON "audit_entries"("subject", "created_at", "id");

-- CreateIndex
CREATE INDEX "audit_entries_action_created_at_id_idx" ON "audit_entries"("action", "created_at", "id");


-- From here on: what the Prisma schema language cannot say.

-- Refusals are few among many; who looks for changes that were made needs no index.
CREATE INDEX "audit_entries_refused_idx" ON "audit_entries" ("result", "created_at", "id") WHERE "result" <> 'OK';

-- Nothing that a caller wrote fits in here but the subject of the token and ids. What most entries have comes first: it is
-- the cheaper to see.
ALTER TABLE "audit_entries"
  ADD CONSTRAINT "audit_entries_subject_check" CHECK (char_length("subject") BETWEEN 1 AND 255),
  ADD CONSTRAINT "audit_entries_role_check" CHECK ("role" IN ('viewer', 'editor', 'admin')),
  ADD CONSTRAINT "audit_entries_fields_check" CHECK ("fields" IS NOT NULL AND (cardinality("fields") = 0 OR "fields" <@ ARRAY['name', 'subdomain', 'contactEmail', 'tier'])),
  ADD CONSTRAINT "audit_entries_result_check" CHECK ("result" = 'OK' OR "result" ~ '^[A-Z_]{2,40}$');

-- What was done stays as it was written.
CREATE TRIGGER "audit_entries_keep" BEFORE UPDATE OR DELETE OR TRUNCATE ON "audit_entries" FOR EACH STATEMENT EXECUTE FUNCTION "refuse_removal"();
