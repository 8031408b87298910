/** How the parts are, asked at every request. */
export interface HealthChecks {
  /** Whether the database answers; a rejection counts as no. */
  readonly database: () => Promise<boolean>;
  readonly redis: () => Promise<'up' | 'down' | 'off'>;
  readonly worker: 'up' | 'off';
}

export interface Health {
  readonly status: 'ok' | 'degraded' | 'down';
  readonly checks: {
    readonly database: 'up' | 'down';
    readonly redis: 'up' | 'down' | 'off';
    readonly worker: 'up' | 'off';
  };
}

/** A database that has not answered after this long is out, milliseconds. */
const patience = 2_000;

/** Without the database nothing works; without Redis everything does, only slower. */
export async function readHealth(checks: HealthChecks): Promise<Health> {
  const [answers, redis] = await Promise.all([answersInTime(checks.database), checks.redis()]);
  const database = answers ? 'up' : 'down';
  const status = database === 'down' ? 'down' : redis === 'down' ? 'degraded' : 'ok';
  return { status, checks: { database, redis, worker: checks.worker } };
}

function answersInTime(check: () => Promise<boolean>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), patience);
    check()
      .catch(() => false)
      .then((answers) => {
        clearTimeout(timer);
        resolve(answers);
      });
  });
}
