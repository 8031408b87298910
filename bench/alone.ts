import type { Peer } from './peer.ts';
import type { AloneTask } from './programs/alone.ts';
import { connections } from './stage.ts';
import { median } from './statistics.ts';

/** How often per second a peer does its work without a server around it. */
export async function askAlone(peer: Peer, seconds: number): Promise<number> {
  const task: AloneTask = { seconds, callers: connections };
  return peer.ask(task);
}

/** A sentence about that, for those who want to know what the server around the work costs. */
export function aloneNote(rounds: readonly { readonly ours: number; readonly alone: number }[]): string {
  const alone = median(rounds.map((round) => round.alone));
  const ratio = median(rounds.map((round) => round.ours)) / alone;
  return `\`pg\` alone, called in a loop without HTTP around it, did ${Math.round(alone).toLocaleString('en')} per second: ours is ${ratio.toFixed(2)} of that.`;
}
