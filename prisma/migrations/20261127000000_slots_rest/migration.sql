-- A lease that is over stays for a while: behind a pooler its slot rests before somebody else gets it. For how long is
-- noted when it is taken, by the process that names the pooler.
ALTER TABLE "leases"
  ADD COLUMN "ended_at" TIMESTAMPTZ(6),
  ADD COLUMN "rest_ms" INTEGER NOT NULL DEFAULT 0,
  ADD CONSTRAINT "leases_rest_check" CHECK ("rest_ms" >= 0);
