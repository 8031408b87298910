-- CreateTable
CREATE TABLE "leases" (
    "id" UUID NOT NULL,
    "tenant_id" UUID NOT NULL,
    "slot" INTEGER NOT NULL,
    "subject" TEXT NOT NULL,
    "taken_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "leases_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "leases_expires_at_idx" ON "leases"("expires_at");

-- CreateIndex
CREATE UNIQUE INDEX "leases_tenant_id_slot_key" ON "leases"("tenant_id", "slot");

-- AddForeignKey
ALTER TABLE "leases" ADD CONSTRAINT "leases_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants"("id") ON DELETE RESTRICT ON UPDATE CASCADE;


-- From here on: what the Prisma schema language cannot say.

ALTER TABLE "leases"
  ADD CONSTRAINT "leases_slot_check" CHECK ("slot" >= 1),
  ADD CONSTRAINT "leases_expires_check" CHECK ("expires_at" > "taken_at");
