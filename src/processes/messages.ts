import type { PackedConfig } from '../config/packed-config.ts';

// What the first process and those that serve tell each other. Both ends are this program, of one version: the mark
// tells our messages from those of libraries on the same line, and who may write there is trusted.

const mark = 'tenant-management-service';

/** Where a process listens. */
export interface Ports {
  readonly httpPort: number;
  /** Null with `--role worker`. */
  readonly grpcPort: number | null;
}

/** Metrics as `Registry.getMetricsAsJSON` answers them. */
export type MetricsJson = readonly { readonly type: unknown }[];

/** To a process that serves. */
export type ToChild =
  /** Begin, with this. */
  | { readonly kind: 'serve'; readonly config: PackedConfig }
  /** Finish what is in flight, and end. */
  | { readonly kind: 'drain' }
  /** Another process has published this. */
  | { readonly kind: 'published'; readonly channel: string; readonly text: string }
  /** Some of what was published has not come. */
  | { readonly kind: 'missed' }
  /** Answer your metrics. */
  | { readonly kind: 'measure'; readonly id: number }
  /** The answer to `page`; null: there is none, the first process's log says why. */
  | { readonly kind: 'page'; readonly id: number; readonly text: string | null };

/** From a process that serves. */
export type FromChild =
  | ({ readonly kind: 'ready' } & Ports)
  /** It cannot start; it ends. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** To be passed on to the others. */
  | { readonly kind: 'publish'; readonly channel: string; readonly text: string }
  /** The answer to `measure`. */
  | { readonly kind: 'measured'; readonly id: number; readonly metrics: MetricsJson }
  /** Answer the metrics of all. */
  | { readonly kind: 'page'; readonly id: number };

interface Marked<Message> {
  readonly mark: typeof mark;
  readonly message: Message;
}

/** A message as it travels. */
export function marked<Message extends ToChild | FromChild>(message: Message): Marked<Message> {
  return { mark, message };
}

/** Whether something that came from a process of ours is one of these messages. */
export function isMarked<Message extends ToChild | FromChild>(sent: unknown): sent is Marked<Message> {
  return typeof sent === 'object' && sent !== null && 'mark' in sent && sent.mark === mark;
}
