import { once } from 'node:events';
import { Redis } from 'ioredis';
import type { Figure } from '../figure.ts';
import { startPeer } from '../peer.ts';
import { peakMemory } from '../proc.ts';
import type { FanOutTask } from '../programs/fan-out.ts';
import { startRedis } from '../redis.ts';
import { small } from '../registries.ts';
import { alternate } from '../rounds.ts';
import type { Service } from '../service.ts';
import { type Row, type Stage, startRowService } from '../stage.ts';
import { percentile } from '../statistics.ts';

/** From an event's publication until the last of a thousand subscribers has it: beside subscribers of Redis itself. */
export const fanOut: Row = { name: 'fan-out', measure };

const subscribers = 1_000;
const messages = 100;
/** A principal may have a hundred streams. */
const principals = 20;

const query = `subscription { provisioningFeed {
  tenantId sequence kind operationState step status completedSteps totalSteps tenantStatus } }`;

async function measure(stage: Stage): Promise<Figure[]> {
  const { database } = await stage.registries.copy(small);
  await using redis = await startRedis();
  await using service = await startRowService(stage, database, { flags: [`--redis-url=${redis.url}`] });
  const event = await catchEvent(redis.url, service);
  const tokens = Array.from({ length: principals }, (_, number) => service.token(`subscriber-${number}`));
  const streams = { port: service.httpPort, tokens: await Promise.all(tokens), query };
  const common = { redisUrl: redis.url, message: event.message, subscribers };
  const [ours, bare]: [FanOutTask, FanOutTask] = [
    { ...common, channel: event.channel, streams },
    { ...common, channel: 'bare', streams: null },
  ];
  await using oursLoad = await startPeer('programs/fan-out.ts', ours);
  await using bareLoad = await startPeer('programs/fan-out.ts', bare);
  const rounds = await alternate(stage.rounds, {
    ours: () => oursLoad.ask<Delays>(messages),
    bare: () => bareLoad.ask<Delays>(messages),
  });
  return [
    {
      what: `event published → the last of ${subscribers.toLocaleString('en')} subscribers of one process has it, p99`,
      beside: 'as many bare ioredis subscribers of the same messages',
      unit: 'ms',
      better: 'less',
      wanted: 5,
      rounds: rounds.map((round) => ({ ours: p99(round.ours), peer: p99(round.bare) })),
      errors: rounds.reduce((sum, round) => sum + round.ours.late + round.bare.late, 0),
      memory: { ours: await peakMemory(service.pid), peer: await peakMemory(bareLoad.pid) },
      note: `${messages} events in a round, each published to Redis when the one before has come to all. The service's subscribers are streams of server-sent events (\`provisioningFeed\`) of ${principals} principals. The subscribers, of the service or of Redis, are in one process of their own, which also publishes; the peer's memory is that process's.`,
    },
  ];
}

interface Delays {
  /** Milliseconds. */
  readonly delays: readonly number[];
  /** Messages that did not come to all. */
  readonly late: number;
}

function p99({ delays }: Delays): number {
  return percentile(delays, 0.99);
}

/** The message of a real event, the first one of a tenant, with places for another tenant and another time. */
async function catchEvent(url: string, service: Service): Promise<{ channel: string; message: string }> {
  const redis = new Redis(url);
  try {
    await redis.psubscribe('tms:*:events');
    const published = once(redis, 'pmessage', { signal: AbortSignal.timeout(10_000) });
    const id = await service.createTenant('fan-out');
    const [, channel, text]: string[] = await published;
    if (channel === undefined || text === undefined || !text.includes(id))
      throw new Error('the message of an event is not what it was expected to be');
    const message = text.replaceAll(id, '{id}').replace(/"createdAt":"[^"]*"/, '"createdAt":"{now}"');
    return { channel, message };
  } finally {
    redis.disconnect();
  }
}
