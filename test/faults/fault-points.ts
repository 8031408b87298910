import type { TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { connect } from '../workers/worker-app.ts';

/** A moment of a tenant's operation at which whoever runs it is to be held. */
export interface FaultPoint {
  readonly tenantId: string;
  /** `taken`; `step status state` of an event, where a step that must end FAILED is made to; or `command object`. */
  readonly place: string;
}

export interface FaultPoints extends AsyncDisposable {
  /** From now on these hold, and no others. */
  set(points: readonly FaultPoint[]): Promise<void>;
  /** Waits until every point that is set holds its session, and nobody else is held. */
  untilHeld(deadlineMs: number): Promise<void>;
  /** No point holds any more. Of the sessions that are held, those of `lost` end now, undone, the others go on. */
  clear(lost: ReadonlySet<string>): Promise<void>;
}

const lock = 7_001;

// The functions are the superuser's: the service has no rights on them, and is not to notice.
const install = `
CREATE SCHEMA faults;
CREATE TABLE faults.points (tenant_id uuid, place text, PRIMARY KEY (tenant_id, place));

-- Whoever comes here at a point says so and waits, however long its own patience is.
CREATE FUNCTION faults.pass(tenant uuid, place text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM faults.points WHERE points.tenant_id = tenant AND points.place = pass.place) THEN
    PERFORM set_config('lock_timeout', '0', true), set_config('application_name', tenant::text, true);
    PERFORM pg_advisory_xact_lock_shared(${lock});
  END IF;
END $$;

-- These run when the transaction commits, all its work done: a session that is ended here leaves nothing of it, one that
-- goes on has committed, also when nobody is there any more to hear it.
CREATE FUNCTION faults.pass_taking() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM faults.pass(NEW.tenant_id, 'taken');
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER faults_taking AFTER UPDATE ON operations DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.fence > OLD.fence) EXECUTE FUNCTION faults.pass_taking();
CREATE FUNCTION faults.pass_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM faults.pass(NEW.tenant_id, format('%s %s %s', NEW.step, NEW.status, NEW.operation_state));
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER faults_event AFTER INSERT ON provisioning_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  EXECUTE FUNCTION faults.pass_event();

-- What is worth another try goes wrong where a step would be told as done or undone.
CREATE FUNCTION faults.fail_step() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF EXISTS (SELECT FROM faults.points WHERE tenant_id = NEW.tenant_id AND place = NEW.step || ' FAILED PENDING') THEN
    RAISE EXCEPTION 'a fault' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER faults_fail BEFORE INSERT ON provisioning_events FOR EACH ROW
  WHEN (NEW.operation_state = 'RUNNING' AND NEW.status <> 'IN_PROGRESS' OR NEW.status = 'SUCCESS')
  EXECUTE FUNCTION faults.fail_step();

-- In the middle of a step's work: behind the command, before the next one of the same transaction.
CREATE FUNCTION faults.pass_command() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM faults.pass(substring(object_identity FROM 'tenant_([0-9a-f]{32})')::uuid,
                      command_tag || ' ' || regexp_replace(object_identity, 'tenant_[0-9a-f]{32}', 'tenant'))
  FROM pg_event_trigger_ddl_commands() WHERE object_identity ~ 'tenant_[0-9a-f]{32}';
END $$;
CREATE EVENT TRIGGER faults_command ON ddl_command_end WHEN TAG IN ('CREATE SCHEMA', 'CREATE TABLE')
  EXECUTE FUNCTION faults.pass_command()`;

/** Puts points into a registry at which transactions can be held, by triggers of the superuser's. */
export async function installFaultPoints(
  database: Pick<TestDatabase, 'administrator'>,
): Promise<FaultPoints> {
  const session = await connect(database.administrator);
  await session.query(install);
  let points: readonly FaultPoint[] = [];

  const held = async () =>
    (
      await session.query(
        `SELECT application_name AS tenant FROM pg_locks JOIN pg_stat_activity USING (pid)
         WHERE locktype = 'advisory' AND objid = $1 AND NOT granted AND datname = current_database()`,
        [lock],
      )
    ).map(({ tenant }) => tenant);

  return {
    async set(next) {
      points = next;
      await session.query('DELETE FROM faults.points');
      await session.query(
        `INSERT INTO faults.points SELECT (point->>'tenantId')::uuid, point->>'place' FROM unnest($1::json[]) AS point`,
        [points.map((point) => JSON.stringify(point))],
      );
      await session.query('SELECT pg_advisory_lock($1)', [lock]);
    },
    async untilHeld(deadlineMs) {
      await eventually(async () => {
        const here = await held();
        const missing = points.filter(({ tenantId }) => !here.includes(tenantId));
        if (missing.length === 0 && here.length === points.length) return true;
        throw new Error(
          `${here.length} sessions are held; not yet: ${missing.map(({ place }) => place).join(', ')}`,
        );
      }, deadlineMs);
    },
    async clear(lost) {
      await session.query('DELETE FROM faults.points');
      await session.query(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = ANY ($1)`,
        [[...lost]],
      );
      await session.query('SELECT pg_advisory_unlock($1)', [lock]);
      const names = points.map(({ tenantId }) => tenantId);
      await eventually(async () => {
        const left = await session.query(
          'SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = ANY ($1)',
          [names],
        );
        return left.length === 0;
      }, 20_000);
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
