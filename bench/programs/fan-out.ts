import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { openStreams, type StreamsRequest } from '../streams.ts';
import { tell, told } from '../told.ts';

// Publishes messages and waits for each until the last of many subscribers has it: those of the service (streams of
// server-sent events), or bare ones of Redis.

export interface FanOutTask {
  readonly redisUrl: string;
  readonly channel: string;
  /** With `{id}` where a message has an id of its own, and `{now}`. */
  readonly message: string;
  readonly subscribers: number;
  /** Null: subscribers of Redis. */
  readonly streams: StreamsRequest | null;
}

/** Milliseconds. */
const lateMs = 10_000;

const task = await told<FanOutTask>();
const publisher = new Redis(task.redisUrl);
/** Which subscriber has the message that is out. */
let awaited = '';
let missing = new Set<number>();
let all = Promise.withResolvers<number>();

if (task.streams !== null) await openStreams(task.streams, task.subscribers, arrived);
else await subscribeBare(task.subscribers);
process.on('message', async (count) => {
  const delays: number[] = [];
  let late = 0;
  for (let number = 0; number < Number(count); number++) {
    const delay = await publishOne();
    if (delay === null) late += 1;
    else delays.push(delay);
  }
  tell({ delays, late });
});
tell('ready');

function arrived(text: string, subscriber: number): void {
  if (text.includes(awaited) && missing.delete(subscriber) && missing.size === 0)
    all.resolve(performance.now());
}

/** @returns milliseconds until the last one had it; null when it did not come to all */
async function publishOne(): Promise<number | null> {
  awaited = randomUUID();
  missing = new Set(Array.from({ length: task.subscribers }, (_, subscriber) => subscriber));
  all = Promise.withResolvers();
  const message = task.message.replaceAll('{id}', awaited).replaceAll('{now}', new Date().toISOString());
  const timer = setTimeout(() => all.resolve(Number.POSITIVE_INFINITY), lateMs);
  const begin = performance.now();
  void publisher.publish(task.channel, message);
  const end = await all.promise;
  clearTimeout(timer);
  return Number.isFinite(end) ? end - begin : null;
}

async function subscribeBare(count: number): Promise<void> {
  for (let subscriber = 0; subscriber < count; subscriber++) {
    const redis = new Redis(task.redisUrl);
    redis.on('message', (_channel, message) => arrived(message, subscriber));
    await redis.subscribe(task.channel);
  }
}
