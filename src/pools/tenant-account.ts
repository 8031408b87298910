/** What it takes to work as a tenant. */
export interface TenantAccount {
  readonly password: string;
  /** Connections at most. */
  readonly max: number;
}

/** The account of one tenant, as the registry had it a moment ago. */
export interface AccountReader {
  /** Reads it unless it was read within `freshMs`; who asks meanwhile gets the same answer. @throws what reading throws */
  fresh(): Promise<TenantAccount>;
  /** What was read is not to be believed any more, nor what is being read. */
  suspect(): void;
}

export function createAccountReader(read: () => Promise<TenantAccount>, freshMs: number): AccountReader {
  let known: { readonly account: TenantAccount; readonly at: number } | null = null;
  let reading: Promise<TenantAccount> | null = null;
  let suspicions = 0;

  async function readUndisputed(): Promise<TenantAccount> {
    for (;;) {
      const before = suspicions;
      const at = performance.now();
      const account = await read();
      if (before !== suspicions) continue;
      known = { account, at };
      return account;
    }
  }

  return {
    async fresh() {
      if (known !== null && performance.now() - known.at < freshMs) return known.account;
      reading ??= readUndisputed().finally(() => {
        reading = null;
      });
      return reading;
    },
    suspect() {
      suspicions++;
      known = null;
    },
  };
}
