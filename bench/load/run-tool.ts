import { execFile, spawnSync } from 'node:child_process';

const graceMs = 20_000;

/** What a program prints on its standard output. @throws when it fails, or takes much longer than `seconds` */
export function runTool(program: string, options: readonly string[], seconds: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: 1_000 * seconds + graceMs, maxBuffer: 16 * 1024 * 1024 };
    execFile(program, [...options], limits, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${program} failed: ${error.message}\n${stdout}${stderr}`, { cause: error }));
    });
  });
}

/** What a program says its version is; null when it is not on the PATH. */
export function toolVersion(program: string): string | null {
  const { error, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (error !== undefined) return null;
  return /\S*\d+\.\d+\S*/.exec(stdout)?.[0] ?? 'unknown';
}
