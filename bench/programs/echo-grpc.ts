import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import {
  type GetTenantRequest,
  GetTenantResponse,
  TenantServiceService,
} from '../../src/generated/proto/tenant/v1/tenant.ts';
import { tell, told } from '../told.ts';

// What grpc-js can do at all: it answers the same message to everybody, with the caller's id in it.

export interface EchoTask {
  /** The encoded answer, base64. */
  readonly answer: string;
}

const { answer } = await told<EchoTask>();
const { tenant } = GetTenantResponse.decode(Buffer.from(answer, 'base64'));
if (tenant === undefined) throw new Error('the answer has no tenant');
const server = new Server();
const { getTenant } = TenantServiceService;
server.addService(
  { getTenant },
  {
    getTenant(
      { request }: ServerUnaryCall<GetTenantRequest, GetTenantResponse>,
      callback: sendUnaryData<GetTenantResponse>,
    ) {
      callback(null, { tenant: { ...tenant, id: request.id } });
    },
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  tell(port);
});
