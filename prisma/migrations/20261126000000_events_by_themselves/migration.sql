-- Events are written only by the statements that change their operation, which is never deleted; the check of the
-- reference would be planned anew for each of them (docs/decisions/0013).
ALTER TABLE "provisioning_events" DROP CONSTRAINT "provisioning_events_operation_id_fkey";
