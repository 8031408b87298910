import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { TenantServiceService } from '../src/generated/proto/tenant/v1/tenant.ts';

/** One call of `GetTenant`. @returns the answer as it came over the wire */
export function callGetTenant(
  { port, token }: { readonly port: number; readonly token: string },
  id: string,
): Promise<Buffer> {
  const { path, requestSerialize } = TenantServiceService.getTenant;
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      (bytes) => bytes,
      { id },
      metadata,
      (error, answer) => {
        if (answer === undefined) reject(error);
        else resolve(answer);
      },
    );
  }).finally(() => client.close());
}
