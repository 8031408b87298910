-- A lease that is over stays for a while: behind a pooler its slot rests before somebody else gets it.
ALTER TABLE "leases" ADD COLUMN "ended_at" TIMESTAMPTZ(6);

-- CreateIndex
CREATE INDEX "leases_ended_at_idx" ON "leases"("ended_at");
