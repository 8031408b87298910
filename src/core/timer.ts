/** What Node's timers can count, milliseconds: 25 days. A longer time would pass at once. */
const longestTimer = 2_147_483_647;

/**
 * Calls back once when it is `time`, milliseconds since 1970 by this machine's clock; never when that is infinite, nor
 * when it is disposed of before. A time that has passed is still later than this call.
 */
export function whenItIs(time: number, callback: () => void): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const wait = () => {
    const remaining = time - Date.now();
    if (remaining === Infinity) return;
    timer = setTimeout(
      () => {
        if (Date.now() >= time) callback();
        else wait();
      },
      Math.min(Math.max(0, Math.ceil(remaining)), longestTimer),
    );
  };
  wait();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
