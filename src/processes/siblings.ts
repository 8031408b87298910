import type { Registry } from 'prom-client';
import type { PackedConfig } from '../config/packed-config.ts';
import type { Relay } from '../core/relay.ts';
import { createAskedPages } from './asked-pages.ts';
import { type FromChild, isMarked, marked, type Ports, type ToChild } from './messages.ts';

/** What a process that serves has of the others that serve on the same ports. */
export interface Siblings {
  readonly relay: Relay;
  /** Lets the others read this registry. @returns the page of all processes' metrics together */
  shareMetrics(registry: Registry): Pick<Registry, 'metrics' | 'contentType'>;
}

/** The line from a process that serves to the first one. When that one ends, however, so does this one. */
export interface FirstProcess {
  /** What to begin with. */
  readonly config: Promise<PackedConfig>;
  /** Resolves when it is time to drain. */
  readonly drain: Promise<void>;
  readonly siblings: Siblings;
  ready(ports: Ports): void;
  /** Says why this process cannot start. Resolves when that is on its way. */
  refuse(reason: string): Promise<void>;
}

/** @throws Error in a process that the first one has not started */
export function joinFirstProcess(): FirstProcess {
  if (process.send === undefined) throw new Error('src/child.ts is started by "npm start -- --processes"');
  const send = process.send.bind(process);
  const tell = (message: FromChild) => void send(marked(message));

  const config = Promise.withResolvers<PackedConfig>();
  const drain = Promise.withResolvers<void>();
  const channels = new Map<string, (text: string) => void>();
  const missed: (() => void)[] = [];
  const pages = createAskedPages((id) => tell({ kind: 'page', id }));
  let shared: Registry | null = null;

  function receive(message: ToChild): void {
    switch (message.kind) {
      case 'serve':
        config.resolve(message.config);
        break;
      case 'drain':
        drain.resolve();
        break;
      case 'published':
        channels.get(message.channel)?.(message.text);
        break;
      case 'missed':
        for (const listener of missed) listener();
        break;
      case 'measure':
        // One that fails answers nothing, as one that hangs: the first process knows what to do then.
        shared?.getMetricsAsJSON().then(
          (metrics) => tell({ kind: 'measured', id: message.id, metrics }),
          () => {},
        );
        break;
      case 'page':
        pages.receive(message);
    }
  }
  process.on('message', (sent) => {
    if (isMarked<ToChild>(sent)) receive(sent.message);
  });

  return {
    config: config.promise,
    drain: drain.promise,
    siblings: {
      relay: {
        publish: (channel, text) => tell({ kind: 'publish', channel, text }),
        subscribe: (channel, listener) => void channels.set(channel, listener),
        onMissed: (listener) => void missed.push(listener),
      },
      shareMetrics(registry) {
        shared = registry;
        return { contentType: registry.contentType, metrics: pages.page };
      },
    },
    ready: ({ httpPort, grpcPort }) => tell({ kind: 'ready', httpPort, grpcPort }),
    refuse: (reason) =>
      new Promise((resolve) => void send(marked({ kind: 'refused', reason }), () => resolve())),
  };
}
