import { describe, expect, test } from 'vitest';
import { configOf, refusal, secret } from './invoke.ts';

describe('command line', () => {
  test('--flag value and --flag=value are the same', () => {
    expect(configOf(['--port', '1', '--db-user', 'u'])).toEqual(configOf(['--port=1', '--db-user=u']));
  });

  test('only the first = divides', () => {
    expect(configOf([`--auth-secret=a=${secret}`]).authentication).toEqual({
      kind: 'secret',
      secret: new TextEncoder().encode(`a=${secret}`),
      issuer: null,
      audience: null,
    });
  });

  test.each([
    [['--no-auth'], 'none'],
    [['--no-auth=true'], 'none'],
    [['--no-auth=1'], 'none'],
    [['--no-auth=false'], 'generated'],
    [['--no-auth=0'], 'generated'],
  ])('%s means authentication %s', (argv, kind) => {
    expect(configOf(argv).authentication.kind).toBe(kind);
  });

  test.each([
    [['--prot=1'], '"--prot" is no flag: did you mean --port? see --help'],
    [['--db-pas', 'x'], '"--db-pas" is no flag: did you mean --db-pass? see --help'],
    [['--htpt-prot=1'], '"--htpt-prot" is no flag: did you mean --http-port? see --help'],
    [['--nope'], '"--nope" is no flag: see --help'],
    [['--something-else'], '"--something-else" is no flag: see --help'],
    [[`--${'x'.repeat(100)}`], `"--${'x'.repeat(58)}…" is no flag: see --help`],
    [['--x\n\u2028y'], '"--x\\n\uFFFDy" is no flag: see --help'],
    [['--__proto__=1'], '"--__proto__" is no flag: see --help'],
    [['--constructor'], '"--constructor" is no flag: see --help'],
    [['-p', '1'], 'Argument 1 belongs to no flag: give --flag value or --flag=value, see --help'],
    [['--Port=1'], '"--Port" is no flag: did you mean --port? see --help'],
    [['serve'], 'Argument 1 belongs to no flag: give --flag value or --flag=value, see --help'],
    [['--no-auth', 'true'], 'Argument 2 belongs to no flag: give --flag value or --flag=value, see --help'],
    [['--'], 'Argument 1 belongs to no flag: give --flag value or --flag=value, see --help'],
    [[''], 'Argument 1 belongs to no flag: give --flag value or --flag=value, see --help'],
    [['--port'], '--port takes a port from 0 (any free one) to 65535; its value is missing'],
    [
      ['--db-host', '--db-port=1'],
      '--db-host takes a host name or an IP address; its value is missing (one that begins with -- needs --db-host=…)',
    ],
    [['--port=1', '--port', '1'], '--port is given twice'],
    [['--no-auth', '--no-auth'], '--no-auth is given twice'],
  ])('%j is refused', (argv, line) => {
    expect(refusal(argv)).toBe(line);
  });
});
