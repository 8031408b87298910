import { execFile } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { connect, failureOf } from '../grpc/grpc-client.ts';
import { startTestApp } from '../support/app.ts';
import { opensslMissing } from '../support/certificates.ts';
import { bareEnvironment, createDirectory, nodeProgram, projectRoot } from '../support/process.ts';
import { agentOf, byName, get, trusting } from './peers.ts';

const run = promisify(execFile);
const makeCertificates = (cwd: string, env: Record<string, string> = bareEnvironment) =>
  run(nodeProgram, [join(projectRoot, 'scripts/certs.ts'), 'tms.example.com'], { cwd, env });

describe.skipIf(opensslMissing !== null)('npm run certs', () => {
  test('makes certificates that the service and its clients work with, and keeps its authority', async () => {
    await using directory = await createDirectory();
    const at = (file: string) => join(directory.path, 'certs', `${file}.pem`);
    await makeCertificates(directory.path);
    const [authority, certificate] = [await readFile(at('ca'), 'utf8'), await readFile(at('cert'), 'utf8')];
    await makeCertificates(directory.path);
    expect(await readFile(at('ca'), 'utf8')).toBe(authority);
    expect(await readFile(at('cert'), 'utf8')).not.toBe(certificate);
    const files = ['ca-key.pem', 'ca.pem', 'cert.pem', 'client-key.pem', 'client.pem', 'key.pem'];
    expect((await readdir(join(directory.path, 'certs'))).toSorted()).toEqual(files);
    for (const key of ['ca-key', 'client-key', 'key']) {
      expect((await stat(at(key))).mode & 0o777).toBe(0o600);
    }

    await using app = await startTestApp({
      worker: false,
      args: [`--tls-cert=${at('cert')}`, `--tls-key=${at('key')}`, `--tls-client-ca=${at('ca')}`],
    });
    expect(await get(`${app.httpUrl}/live`, agentOf(at('ca')))).toMatchObject({ status: 200 });
    const pair = { cert: at('client'), key: at('client-key') };
    using developer = connect(byName(app), null, trusting(at('ca'), pair));
    // An admin's call.
    expect(await failureOf(developer.unary(rpc.deleteTenant, { id: crypto.randomUUID() }))).toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  test('says what is missing where there is no openssl', async () => {
    await using directory = await createDirectory();
    await expect(makeCertificates(directory.path, { PATH: directory.path })).rejects.toMatchObject({
      code: 2,
      stderr: 'the program openssl is needed and not on the PATH: install it\n',
    });
  });
});
