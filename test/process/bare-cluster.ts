import { postgresVersions, startBareCluster } from '../support/postgres-versions.ts';

// A program that starts a cluster of the version, directory and port in its arguments and leaves it running: for a
// network that is not the tests' own.
const [version, directory = '', port] = process.argv.slice(2);
const known = postgresVersions.find((candidate) => candidate.version === version);
if (known === undefined) throw new Error(`there is no PostgreSQL ${version}`);
const { administrator } = await startBareCluster({
  directory,
  binaries: await known.binaries(),
  port: Number(port),
});
process.stdout.write(`${JSON.stringify({ msg: 'started', password: administrator.password })}\n`);
