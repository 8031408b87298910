import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Of V8's `.cpuprofile` what is read here; times are microseconds of the machine's monotonic clock. */
interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

export interface CpuTime {
  /** A folder of the project's or a package, with what it calls in Node; or what V8 calls its own work. */
  readonly part: string;
  readonly milliseconds: number;
}

/**
 * CPU time by part between two moments, the longest first. Idle time is left out.
 * @param directory holds the profile of one process
 * @param from (and `to`) of `process.hrtime.bigint()` here: the clock is the same
 */
export async function cpuTimes(directory: string, from: bigint, to: bigint): Promise<CpuTime[]> {
  const [name] = (await readdir(directory)).filter((name) => name.endsWith('.cpuprofile'));
  if (name === undefined) throw new Error('the service left no profile');
  const profile: CpuProfile = JSON.parse(await readFile(join(directory, name), 'utf8'));
  const parts = partsOf(profile.nodes);
  const times = new Map<string, number>();
  let now = profile.startTime;
  profile.samples.forEach((sample, index) => {
    now += profile.timeDeltas[index] ?? 0;
    const part = parts.get(sample) ?? '';
    if (part === '(idle)' || now < Number(from / 1000n) || now > Number(to / 1000n)) return;
    // A sample stands for the time until the next one.
    times.set(part, (times.get(part) ?? 0) + (profile.timeDeltas[index + 1] ?? 0) / 1000);
  });
  return [...times]
    .map(([part, milliseconds]) => ({ part, milliseconds }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

/** The part of each node; what is Node's or native belongs to whoever calls it. Parents come before their children. */
function partsOf(nodes: readonly ProfileNode[]): ReadonlyMap<number, string> {
  const parts = new Map<number, string>();
  for (const { id, callFrame, children = [] } of nodes) {
    const part = ownPart(callFrame) ?? parts.get(id) ?? 'node';
    parts.set(id, part);
    for (const child of children) parts.set(child, part);
  }
  return parts;
}

function ownPart({ functionName, url }: ProfileNode['callFrame']): string | undefined {
  const [, dependency] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? [];
  if (dependency !== undefined) return dependency;
  const [, folder] = /\/(src\/(?:\w+(?=\/)|.+))/.exec(url) ?? [];
  if (folder !== undefined) return folder;
  // (idle), (program), (garbage collector); (root) is above all.
  return functionName.startsWith('(') && functionName !== '(root)' ? functionName : undefined;
}
