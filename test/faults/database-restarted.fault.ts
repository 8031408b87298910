import { expect, test } from 'vitest';
import { applyAdministratorScript } from '../../src/db/administrator-script.ts';
import { embeddedBinaries } from '../../src/db/postgres-binaries.ts';
import { type Caller, graphql, httpGet, untilActiveElsewhere } from '../process/calls.ts';
import { eventually } from '../support/eventually.ts';
import { type BareCluster, startBareCluster } from '../support/postgres-versions.ts';
import { createDirectory, databaseArguments, devToken, startService } from '../support/process.ts';
import { connect } from '../workers/worker-app.ts';
import { expectSound } from './expect-sound.ts';
import { installFaultPoints } from './fault-points.ts';
import { momentsForward } from './moments.ts';

const login = { user: 'admin', password: 'x', name: 'tenant_registry' };
/** Tenants that are created while the database goes away and comes back. */
const creations = 40;

test.each<[string, (cluster: BareCluster) => Promise<void>]>([
  ['is restarted', (cluster) => cluster.stop()],
  ['crashes and is started again', (cluster) => cluster.kill()],
])(
  'PostgreSQL %s in the middle of every step, and of creations: every acknowledged tenant comes up, once',
  async (_, goAway) => {
    await using clusterDirectory = await createDirectory();
    await using cluster = await startBareCluster({
      directory: clusterDirectory.path,
      binaries: await embeddedBinaries(),
    });
    await applyAdministratorScript(cluster.administrator, login);
    const { name: database, ...credentials } = login;
    const administrator = { ...cluster.administrator, database };
    const args = databaseArguments({ ...administrator, ...credentials });
    await using directory = await createDirectory();
    await using api = await startService({ dataDir: directory.path, args: [...args, '--role=api'] });
    const caller: Caller = { url: api.httpUrl, token: await devToken(directory.path) };

    const startWorker = () =>
      startService({ dataDir: directory.path, args: [...args, '--role=worker', '--worker-concurrency=18'] });

    // The first tenant of a registry holds others up.
    const bystander = await create(caller, 'bystander');
    await using first = await startWorker();
    await untilActiveElsewhere(caller, bystander);
    first.signal('SIGTERM');
    await first.end;

    const places = momentsForward('PROVISION').filter(({ outcome }) => outcome === 'lost');
    const tenants = await Promise.all(places.map((_place, index) => create(caller, `held-${index}`)));
    const points = await installFaultPoints({ administrator });
    await points.set(places.map(({ place }, index) => ({ place, tenantId: tenants[index] ?? '' })));
    await using worker = await startWorker();
    await points.untilHeld(30_000);

    let acknowledged = 0;
    const created = Array.from({ length: creations }, async (_creation, index) => {
      // One after the other, so that some are done before and some are left for afterwards.
      await eventually(() => acknowledged >= index - 2, 60_000);
      const id = await eventually(() => create(caller, `tenant-${index}`), 60_000);
      acknowledged += 1;
      return id;
    });
    const all = Promise.all(created);
    all.catch(() => {});
    await eventually(() => acknowledged >= creations / 4, 30_000);
    await goAway(cluster);
    expect(acknowledged).toBeLessThan(creations);
    await cluster.start();

    await using session = await connect(administrator);
    await session.query('DELETE FROM faults.points');
    const ends = new Map([bystander, ...tenants, ...(await all)].map((id) => [id, 'ACTIVE' as const]));
    await expectSound(session, ends, 60_000);
    expect(ends.size).toBe(1 + tenants.length + creations);
    // The very processes that were there before.
    for (const { httpUrl } of [api, worker]) {
      expect(await httpGet(`${httpUrl}/health`)).toMatchObject({ status: 200, body: { status: 'ok' } });
    }
  },
);

/** Creates a tenant, or finds the one that an earlier try has created. @throws unless it was acknowledged */
async function create(caller: Caller, subdomain: string): Promise<string> {
  const answer = await graphql(
    caller,
    `mutation ($input: CreateTenantInput!) {
      createTenant(input: $input) { ... on CreateTenantPayload { tenant { id } } ... on Error { code message } }
    }`,
    {
      input: {
        name: subdomain,
        subdomain,
        contactEmail: `ops@${subdomain}.example`,
        idempotencyKey: subdomain,
      },
    },
  );
  const [, id] = /"tenant":\{"id":"([^"]+)"/.exec(JSON.stringify(answer)) ?? [];
  if (id === undefined) throw new Error(`the tenant was not created: ${JSON.stringify(answer)}`);
  return id;
}
