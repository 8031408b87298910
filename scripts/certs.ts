import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { runCommand } from '../src/command.ts';
import { isHost } from '../src/config/hosts.ts';
import { createAuthority, createCertificate, type KeyPair } from './development-certificates.ts';

// `npm run certs [-- host …]`: an authority for development, a server's certificate for this machine and the hosts that
// are named, and a client's. An authority that is there stays, so that who trusts it goes on; the others are made anew.
await runCommand(async () => {
  const hosts = process.argv.slice(2);
  for (const host of hosts) {
    if (!isHost(host)) throw new Error('npm run certs takes host names and IP addresses');
  }
  await mkdir('certs', { recursive: true });
  const at = (cert: string, key: string): KeyPair => ({
    cert: join('certs', `${cert}.pem`),
    key: join('certs', `${key}.pem`),
  });
  const authority = at('ca', 'ca-key');
  if (!existsSync(authority.cert) || !existsSync(authority.key)) {
    await createAuthority(authority, 'Tenant management, development');
  }
  const names = ['localhost', '127.0.0.1', '::1', ...hosts];
  await createCertificate(at('cert', 'key'), authority, {
    name: 'tenant-management-service',
    alternativeNames: names.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`),
    usage: 'serverAuth',
  });
  await createCertificate(at('client', 'client-key'), authority, {
    name: 'developer',
    alternativeNames: ['URI:tms:role:admin'],
    usage: 'clientAuth',
  });
  process.stdout.write(`Made in certs: cert.pem and key.pem for ${names.join(', ')}, which npm start takes from there;
client.pem and client-key.pem, an admin to a service with --tls-client-ca certs/ca.pem. Who is to trust them trusts ca.pem.
`);
});
