import { GetTenantRequest } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { callGetTenant } from '../call-grpc.ts';
import type { Figure } from '../figure.ts';
import { calibrated } from '../load/calibrated.ts';
import { loadGrpc } from '../load/grpc-load.ts';
import { errorsOf } from '../load/measured.ts';
import { startServingPeer } from '../peer.ts';
import { peakMemory } from '../proc.ts';
import type { EchoTask } from '../programs/echo-grpc.ts';
import { small } from '../registries.ts';
import { alternate } from '../rounds.ts';
import { type Row, type Stage, startRowService } from '../stage.ts';

/** One tenant over gRPC, from the cache: beside a bare server of grpc-js. */
export const grpcGet: Row = { name: 'grpc-get', measure };

async function measure(stage: Stage): Promise<Figure[]> {
  const { database, ids } = await stage.registries.copy(small);
  await using service = await startRowService(stage, database);
  const token = await service.token('bench');
  const id = ids[0] ?? '';
  const answer = await callGetTenant({ port: service.grpcPort, token }, id);
  const task: EchoTask = { answer: answer.toString('base64') };
  await using echo = await startServingPeer('programs/echo-grpc.ts', task);
  if (!answer.equals(await callGetTenant({ port: echo.port, token }, id)))
    throw new Error('the echo is not the same message');

  const load = {
    token,
    path: '/tenant.v1.TenantService/GetTenant',
    request: GetTenantRequest.encode({ id }).finish(),
    answerLength: answer.length,
    connections: 4,
    streams: 8,
  };
  const rounds = await alternate(stage.rounds, {
    ours: calibrated(stage.seconds, (calls) => loadGrpc({ ...load, port: service.grpcPort, calls })),
    echo: calibrated(stage.seconds, (calls) => loadGrpc({ ...load, port: echo.port, calls })),
  });
  return [
    {
      what: 'gRPC `GetTenant`, cached, authenticated',
      beside: 'a bare grpc-js echo of the same message',
      unit: 'calls/s',
      better: 'more',
      wanted: 0.85,
      rounds: rounds.map((round) => ({ ours: round.ours.perSecond, peer: round.echo.perSecond })),
      errors: errorsOf(rounds.flatMap((round) => [round.ours, round.echo])),
      memory: { ours: await peakMemory(service.pid), peer: await peakMemory(echo.pid) },
    },
  ];
}
