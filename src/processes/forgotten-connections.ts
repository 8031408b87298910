import type { Worker } from 'node:cluster';

interface Handle {
  close(): void;
}

/** Who has been handed a connection last. */
const owners = new WeakMap<Handle, Worker>();

/**
 * Closes the connections that a process was handed and never took, because it died. Node's cluster forgets them: this
 * process would hold them for ever, and their clients would wait as long. It hands a process the next connection of a
 * port when that has taken the one before, so only the last of each port can be forgotten; to close one that was taken
 * does nothing, it is closed here already.
 */
export function closeForgottenConnections(worker: Worker): void {
  const lastOfPorts = new Map<string, Handle>();
  const { process: child } = worker;
  const { send } = child;
  const noting = (...args: unknown[]): unknown => {
    const [message, handle] = args;
    if (isNewConnection(message) && isHandle(handle)) {
      lastOfPorts.set(message.key, handle);
      owners.set(handle, worker);
    }
    return Reflect.apply(send, child, args);
  };
  Reflect.set(child, 'send', noting);

  const close = () => {
    for (const handle of lastOfPorts.values()) if (owners.get(handle) === worker) handle.close();
    lastOfPorts.clear();
  };
  // Between the two it may be handed one more.
  worker.on('exit', close);
  worker.on('disconnect', close);
}

/** What Node's cluster sends with a connection. */
function isNewConnection(message: unknown): message is { readonly key: string } {
  if (typeof message !== 'object' || message === null) return false;
  return 'act' in message && message.act === 'newconn' && 'key' in message && typeof message.key === 'string';
}

function isHandle(handle: unknown): handle is Handle {
  return typeof handle === 'object' && handle !== null && 'close' in handle;
}
