/** Rounds that come first: V8 is still compiling what runs often. */
const warmUps = 2;

/**
 * Each contender in its turn, so many times; two rounds that come before the first one are not counted.
 * @returns for each round, what each one answered
 */
export async function alternate<Results extends object>(
  rounds: number,
  contenders: { readonly [Name in keyof Results]: (round: number) => Promise<Results[Name]> },
): Promise<Results[]> {
  const counted: Results[] = [];
  for (let round = 0; round < warmUps + rounds; round++) {
    const results: Partial<Results> = {};
    for (const name in contenders) results[name] = await contenders[name](round);
    if (round >= warmUps && isWhole(results, contenders)) counted.push(results);
  }
  return counted;
}

function isWhole<Results extends object>(
  results: Partial<Results>,
  contenders: { readonly [Name in keyof Results]: unknown },
): results is Results {
  return Object.keys(contenders).every((name) => name in results);
}
