import { z } from 'zod';

/** Connections per tenant, by tier. */
export type TierConnections = ReadonlyMap<string, number>;

/** What a tenant gets whose tier is not listed, when the default tier is not listed either. */
const unlisted = 5;

/** `tier=number` pairs, comma separated. What is behind the last `=` is the number, so that a tier may have one too. */
export const tierConnections: z.ZodType<TierConnections, string> = z.string().transform((text, issues) => {
  const byTier = new Map<string, number>();
  for (const [index, entry] of text.split(',').entries()) {
    const [, name = '', digits = ''] = /^([^\p{Cc}]+)=\s*(\d{1,4})\s*$/u.exec(entry) ?? [];
    const tier = name.trim();
    const complain = (what: string) =>
      issues.addIssue({ code: 'custom', message: `entry ${index + 1} ${what}` });
    if (tier === '' || tier.length > 50) complain('is not of that form');
    else if (Number(digits) < 1 || Number(digits) > 1000) complain('has a number outside of 1 to 1000');
    else if (byTier.has(tier)) complain('repeats the tier of an earlier one');
    byTier.set(tier, Number(digits));
  }
  return byTier;
});

/** The function that answers how many connections a tenant of a tier may have; one that is not listed is `standard`. */
export function connectionsFor(byTier: TierConnections): (tier: string) => number {
  return (tier) => byTier.get(tier) ?? byTier.get('standard') ?? unlisted;
}
