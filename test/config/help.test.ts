import { describe, expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { flags } from '../../src/config/flags.ts';
import { invoke } from './invoke.ts';

describe('help and version', () => {
  test('--help prints every flag with its default and meaning, aligned', () => {
    const help = invoke(['--port=1', '--help']);
    const text = help.kind === 'help' ? help.text : '';
    const lines = text.split('\n');
    for (const flag of Object.values(flags)) {
      expect(lines.filter((line) => line.startsWith(`  --${flag.name} `))).toEqual([
        expect.stringContaining(flag.meaning),
      ]);
    }
    expect(lines.find((line) => line.includes('--http-port'))).toMatch(
      /^ {2}--http-port <port> +4000 +port of/,
    );
    expect(lines.find((line) => line.includes('--reserved'))).toContain('www,api,admin,app,mail,…');
    expect(text).toContain('TMS_HTTP_PORT=4000');
    expect(new Set(lines.slice(2, 34).map((line) => line.search(/(?<= {2})\S+( \S+)*$/))).size).toBe(1);
  });

  test('--help helps also where values or variables are bad', () => {
    expect(invoke(['--help', '--port=x'], { TMS_ODD: '1', TMS_HOST: '%' }).kind).toBe('help');
    expect(invoke(['--version', '--help']).kind).toBe('help');
    expect(invoke(['--help=false']).kind).toBe('serve');
  });

  test("--version prints the package's version", () => {
    expect(invoke(['--version'])).toEqual({ kind: 'version', text: manifest.version });
  });
});
