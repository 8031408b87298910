-- CreateEnum
CREATE TYPE "tenant_status" AS ENUM ('PROVISIONING', 'ACTIVE', 'INACTIVE', 'ERROR');

-- CreateEnum
CREATE TYPE "operation_kind" AS ENUM ('PROVISION', 'SUSPEND', 'RESUME', 'DELETE', 'RESTORE', 'MIGRATE');

-- CreateEnum
CREATE TYPE "operation_state" AS ENUM ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED');

-- CreateEnum
CREATE TYPE "step_status" AS ENUM ('PENDING', 'IN_PROGRESS', 'SUCCESS', 'FAILED');

-- CreateTable
CREATE TABLE "tenants" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "subdomain" TEXT NOT NULL,
    "contact_email" TEXT NOT NULL,
    "contact_email_index" TEXT NOT NULL,
    "tier" TEXT NOT NULL DEFAULT 'standard',
    "status" "tenant_status" NOT NULL DEFAULT 'PROVISIONING',
    "version" INTEGER NOT NULL DEFAULT 1,
    "schema_version" INTEGER NOT NULL DEFAULT 0,
    "last_sequence" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),
    "operation_id" UUID,

    CONSTRAINT "tenants_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "operations" (
    "id" UUID NOT NULL,
    "tenant_id" UUID NOT NULL,
    "kind" "operation_kind" NOT NULL,
    "state" "operation_state" NOT NULL DEFAULT 'PENDING',
    "attempt" INTEGER NOT NULL DEFAULT 0,
    "error" TEXT,
    "next_attempt_at" TIMESTAMPTZ(3),
    "cancelling" BOOLEAN NOT NULL DEFAULT false,
    "fence" INTEGER NOT NULL DEFAULT 0,
    "lease_until" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "operations_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "operation_steps" (
    "operation_id" UUID NOT NULL,
    "position" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "status" "step_status" NOT NULL DEFAULT 'PENDING',
    "error" TEXT,
    "started_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "operation_steps_pkey" PRIMARY KEY ("operation_id","position")
);

-- CreateTable
CREATE TABLE "provisioning_events" (
    "tenant_id" UUID NOT NULL,
    "sequence" INTEGER NOT NULL,
    "operation_id" UUID NOT NULL,
    "kind" "operation_kind" NOT NULL,
    "operation_state" "operation_state" NOT NULL,
    "step" TEXT NOT NULL,
    "status" "step_status" NOT NULL,
    "completed_steps" INTEGER NOT NULL,
    "total_steps" INTEGER NOT NULL,
    "message" TEXT,
    "tenant_status" "tenant_status" NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "provisioning_events_pkey" PRIMARY KEY ("tenant_id","sequence")
);

-- CreateTable
CREATE TABLE "idempotency_keys" (
    "subject" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "input_hash" TEXT NOT NULL,
    "tenant_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY ("subject","key")
);

-- CreateTable
CREATE TABLE "tenant_credentials" (
    "tenant_id" UUID NOT NULL,
    "password" TEXT NOT NULL,

    CONSTRAINT "tenant_credentials_pkey" PRIMARY KEY ("tenant_id")
);

-- CreateTable
CREATE TABLE "tenant_migrations" (
    "version" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "checksum" TEXT NOT NULL,
    "applied_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "tenant_migrations_pkey" PRIMARY KEY ("version")
);

-- CreateTable
CREATE TABLE "registry" (
    "id" UUID NOT NULL,
    "index_key" TEXT NOT NULL,

    CONSTRAINT "registry_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "encryption_keys" (
    "id" TEXT NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "encryption_keys_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "tenant_migrations_name_key" ON "tenant_migrations"("name");

-- CreateIndex
CREATE INDEX "tenants_created_at_id_idx" ON "tenants"("created_at", "id");

-- CreateIndex
CREATE INDEX "tenants_name_id_idx" ON "tenants"("name", "id");

-- CreateIndex
CREATE INDEX "tenants_subdomain_id_idx" ON "tenants"("subdomain", "id");

-- CreateIndex
CREATE INDEX "tenants_contact_email_index_idx" ON "tenants"("contact_email_index");

-- CreateIndex
CREATE INDEX "operations_tenant_id_created_at_id_idx" ON "operations"("tenant_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "provisioning_events_created_at_idx" ON "provisioning_events"("created_at");

-- CreateIndex
CREATE INDEX "idempotency_keys_expires_at_idx" ON "idempotency_keys"("expires_at");

-- AddForeignKey
ALTER TABLE "tenants" ADD CONSTRAINT "tenants_operation_id_fkey" FOREIGN KEY ("operation_id") REFERENCES "operations"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "operations" ADD CONSTRAINT "operations_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "operation_steps" ADD CONSTRAINT "operation_steps_operation_id_fkey" FOREIGN KEY ("operation_id") REFERENCES "operations"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "provisioning_events" ADD CONSTRAINT "provisioning_events_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "provisioning_events" ADD CONSTRAINT "provisioning_events_operation_id_fkey" FOREIGN KEY ("operation_id") REFERENCES "operations"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "idempotency_keys" ADD CONSTRAINT "idempotency_keys_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "tenant_credentials" ADD CONSTRAINT "tenant_credentials_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants"("id") ON DELETE RESTRICT ON UPDATE CASCADE;


-- From here on: what the Prisma schema language cannot say.

-- Live subdomains are unique; a deleted tenant's is free again.
CREATE UNIQUE INDEX "tenants_live_subdomain_key" ON "tenants" ("subdomain") WHERE "deleted_at" IS NULL;

-- Prefix search by subdomain.
CREATE INDEX "tenants_subdomain_prefix_idx" ON "tenants" ("subdomain" text_pattern_ops);

-- A tenant has at most one operation that is not finished.
CREATE UNIQUE INDEX "operations_unfinished_key" ON "operations" ("tenant_id") WHERE "state" IN ('PENDING', 'RUNNING');

-- Operations that were given up: few among many, counted whenever the metrics are read.
CREATE INDEX "operations_failed_idx" ON "operations" ("tenant_id", "id") WHERE "state" = 'FAILED';

ALTER TABLE "tenants"
  ADD CONSTRAINT "tenants_name_check" CHECK (char_length("name") BETWEEN 1 AND 100 AND "name" = btrim("name") AND "name" !~ '[\x01-\x1f\x7f-\x9f]'),
  ADD CONSTRAINT "tenants_subdomain_check" CHECK ("subdomain" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  -- Only ciphertext fits: version, key id, nonce, ciphertext with tag. No address can look like this.
  ADD CONSTRAINT "tenants_contact_email_check" CHECK ("contact_email" ~ '^v1:[A-Za-z0-9_-]{1,32}:[A-Za-z0-9_-]{16}:[A-Za-z0-9_-]{22,}$'),
  ADD CONSTRAINT "tenants_contact_email_index_check" CHECK ("contact_email_index" ~ '^[A-Za-z0-9_-]{43}$'),
  ADD CONSTRAINT "tenants_tier_check" CHECK (char_length("tier") BETWEEN 1 AND 50 AND "tier" = btrim("tier") AND "tier" !~ '[\x01-\x1f\x7f-\x9f]'),
  ADD CONSTRAINT "tenants_version_check" CHECK ("version" >= 1),
  ADD CONSTRAINT "tenants_schema_version_check" CHECK ("schema_version" >= 0),
  ADD CONSTRAINT "tenants_last_sequence_check" CHECK ("last_sequence" >= 0);

ALTER TABLE "operations"
  ADD CONSTRAINT "operations_attempt_check" CHECK ("attempt" >= 0),
  ADD CONSTRAINT "operations_fence_check" CHECK ("fence" >= 0),
  ADD CONSTRAINT "operations_finished_check" CHECK (("finished_at" IS NOT NULL) = ("state" IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))),
  ADD CONSTRAINT "operations_failed_check" CHECK ("state" <> 'FAILED' OR "error" IS NOT NULL),
  ADD CONSTRAINT "operations_next_attempt_check" CHECK ("next_attempt_at" IS NULL OR "state" = 'PENDING'),
  -- What a deletion did is taken back by a restoration.
  ADD CONSTRAINT "operations_cancelling_check" CHECK (NOT "cancelling" OR "kind" <> 'DELETE');

ALTER TABLE "operation_steps"
  ADD CONSTRAINT "operation_steps_position_check" CHECK ("position" >= 0),
  ADD CONSTRAINT "operation_steps_started_check" CHECK (("started_at" IS NOT NULL) = ("status" <> 'PENDING')),
  ADD CONSTRAINT "operation_steps_finished_check" CHECK (("finished_at" IS NOT NULL) = ("status" IN ('SUCCESS', 'FAILED'))),
  ADD CONSTRAINT "operation_steps_error_check" CHECK (("error" IS NOT NULL) = ("status" = 'FAILED'));

ALTER TABLE "provisioning_events"
  ADD CONSTRAINT "provisioning_events_sequence_check" CHECK ("sequence" >= 1),
  ADD CONSTRAINT "provisioning_events_steps_check" CHECK ("total_steps" >= 1 AND "completed_steps" BETWEEN 0 AND "total_steps");

ALTER TABLE "idempotency_keys"
  ADD CONSTRAINT "idempotency_keys_key_check" CHECK (char_length("key") BETWEEN 1 AND 255),
  ADD CONSTRAINT "idempotency_keys_expires_check" CHECK ("expires_at" > "created_at");

ALTER TABLE "tenant_credentials"
  ADD CONSTRAINT "tenant_credentials_password_check" CHECK ("password" ~ '^v1:[A-Za-z0-9_-]{1,32}:[A-Za-z0-9_-]{16}:[A-Za-z0-9_-]{22,}$');

ALTER TABLE "tenant_migrations"
  ADD CONSTRAINT "tenant_migrations_version_check" CHECK ("version" >= 1),
  ADD CONSTRAINT "tenant_migrations_checksum_check" CHECK ("checksum" ~ '^[0-9a-f]{64}$');

-- Their rows change several times while a tenant comes up: with room in the page, without touching the indexes.
ALTER TABLE "tenants" SET (fillfactor = 70);
ALTER TABLE "operations" SET (fillfactor = 70);
ALTER TABLE "operation_steps" SET (fillfactor = 70);

-- One database, one registry.
CREATE UNIQUE INDEX "registry_single_row_key" ON "registry" ((true));

-- `version` counts every visible change, whoever makes it. Rotating the ciphertext of an unchanged address or
-- drawing an event's sequence is not visible. A writer that raises `version` says that it changes something that
-- cannot be seen here: the case of the letters in an address.
CREATE FUNCTION "tenants_count_version"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- All times are the database's clock, also where a client brought one of its own.
  IF NEW."deleted_at" IS NOT NULL THEN
    NEW."deleted_at" := coalesce(OLD."deleted_at", now());
  END IF;
  IF NEW."version" > OLD."version" OR (NEW."name", NEW."subdomain", NEW."contact_email_index", NEW."tier", NEW."status", NEW."schema_version", NEW."deleted_at", NEW."operation_id")
     IS DISTINCT FROM
     (OLD."name", OLD."subdomain", OLD."contact_email_index", OLD."tier", OLD."status", OLD."schema_version", OLD."deleted_at", OLD."operation_id")
  THEN
    NEW."version" := OLD."version" + 1;
    NEW."updated_at" := now();
  ELSE
    NEW."version" := OLD."version";
    NEW."updated_at" := OLD."updated_at";
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER "tenants_count_version" BEFORE UPDATE ON "tenants" FOR EACH ROW EXECUTE FUNCTION "tenants_count_version"();

-- Nothing is ever deleted from the registry's history.
CREATE FUNCTION "refuse_removal"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: the registry keeps its history', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER "tenants_keep" BEFORE DELETE OR TRUNCATE ON "tenants" FOR EACH STATEMENT EXECUTE FUNCTION "refuse_removal"();
CREATE TRIGGER "operations_keep" BEFORE DELETE OR TRUNCATE ON "operations" FOR EACH STATEMENT EXECUTE FUNCTION "refuse_removal"();
CREATE TRIGGER "operation_steps_keep" BEFORE DELETE OR TRUNCATE ON "operation_steps" FOR EACH STATEMENT EXECUTE FUNCTION "refuse_removal"();
-- An event is what watchers were told: it does not change either.
CREATE TRIGGER "provisioning_events_keep" BEFORE UPDATE OR DELETE OR TRUNCATE ON "provisioning_events" FOR EACH STATEMENT EXECUTE FUNCTION "refuse_removal"();
CREATE TRIGGER "registry_keep" BEFORE DELETE OR TRUNCATE ON "registry" FOR EACH STATEMENT EXECUTE FUNCTION "refuse_removal"();
