import type { RotationNews } from './key-rotation.ts';
import type { KeyUsage } from './key-usage.ts';

/** Tells a rotation in lines, and at its end which keys may go. */
export function createRotationReport(keyIds: readonly string[], print: (line: string) => void) {
  const [first] = keyIds;
  const unreadable = new Map<string | null, number>();
  return {
    tell(news: RotationNews): void {
      if (news.kind === 'index key') print('index key: re-encrypted');
      else if (news.kind === 'progress')
        print(`${news.column.many}: ${news.done} re-encrypted, ${news.left} left`);
      else {
        const { keyId, tenantId, message } = news.error;
        unreadable.set(keyId, (unreadable.get(keyId) ?? 0) + 1);
        print(`tenant ${tenantId}: its ${news.column.one} stays as it is: ${message}`);
      }
    },

    /** @returns whether all is under the first key */
    end(usage: readonly KeyUsage[]): boolean {
      const used = new Map(usage.map((use) => [use.keyId, use]));
      for (const keyId of new Set([...keyIds, ...used.keys()])) {
        const use = used.get(keyId);
        if (keyId === first) print(`key "${keyId}", the first: ${use ? listOf(use) : 'nothing yet'}`);
        else if (use === undefined) {
          print(
            `key "${keyId}": nothing in the database is under it now; it may leave --encryption-keys once no process has it first; backups from before need it`,
          );
        } else print(`key "${keyId}": still ${listOf(use)}; ${whyStill(use, unreadable.get(keyId) ?? 0)}`);
      }
      return usage.every(({ keyId }) => keyId === first);
    },
  };
}

function listOf({ values, indexKey }: KeyUsage): string {
  const counts = values.map(({ column, count }) => `${count} ${count === 1 ? column.one : column.many}`);
  return [...counts, ...(indexKey ? ['the index key'] : [])].join(', ');
}

function whyStill({ values, indexKey }: KeyUsage, unreadable: number): string {
  const all = values.reduce((sum, { count }) => sum + count, indexKey ? 1 : 0);
  if (unreadable >= all) return 'none of that opens, as said above';
  const others = 'somebody writes under this key, or held the rows: docs/encryption.md';
  return unreadable === 0 ? others : `${unreadable} of that not opening, as said above; otherwise ${others}`;
}
