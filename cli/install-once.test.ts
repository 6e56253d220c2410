import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { projectDir } from '../platform/paths.ts';

/** An npm that says when it begins and ends, waits until it may go on, and leaves what `mw` needs of an installation. */
const npm = `#!/bin/sh
echo "begin $$" >> "$MW_TEST_LOG"
rm -rf node_modules
while [ ! -e "$MW_TEST_GO" ]; do sleep 0.05; done
[ ! -e "$MW_TEST_FAIL" ] || exit 7
mkdir -p node_modules/.bin
printf '#!/bin/sh\\necho started "$@"\\n' > node_modules/.bin/node
chmod +x node_modules/.bin/node
echo "end $$" >> "$MW_TEST_LOG"
`;

let clone: string;
const started: ChildProcess[] = [];
const at = (name: string): string => join(clone, name);
const log = (): string[] => (existsSync(at('log')) ? readFileSync(at('log'), 'utf8').split('\n').filter(Boolean) : []);
const begun = (): number => log().filter((line) => line.startsWith('begin')).length;
const pidOf = (line: string | undefined): number => Number(line?.split(' ')[1]);

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "mw clone's-"));
  copyFileSync(join(projectDir, 'mw'), at('mw'));
  writeFileSync(at('package-lock.json'), '{}');
  mkdirSync(at('bin'));
  writeFileSync(at('bin/npm'), npm, { mode: 0o755 });
});
afterEach(() => {
  writeFileSync(at('go'), '');
  for (const line of log()) spawnSync('kill', ['-9', String(pidOf(line))], { stdio: 'ignore' });
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(clone, { recursive: true, force: true });
});

function mw(): { readonly child: ChildProcess; readonly ended: Promise<{ code: number | null; out: string; err: string }> } {
  const child = spawn(at('mw'), ['status'], {
    env: {
      PATH: `${at('bin')}:${process.env['PATH'] ?? ''}`,
      MW_TEST_LOG: at('log'),
      MW_TEST_GO: at('go'),
      MW_TEST_FAIL: at('fail'),
    },
  });
  started.push(child);
  const told = { out: '', err: '' };
  child.stdout.on('data', (data) => (told.out += String(data)));
  child.stderr.on('data', (data) => (told.err += String(data)));
  return { child, ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, ...told }))) };
}
const until = (what: () => unknown): Promise<void> => expect.poll(what, { timeout: 20_000, interval: 20 }).toBeTruthy();
const waiting = (): number => readdirSync(clone).filter((name) => /^\.mw-install\.lock\.\d+$/.test(name)).length;

describe('the first start in a clone', () => {
  it('installs once for all who start at the same time, and leaves no lock', async () => {
    const all = [mw(), mw(), mw()];
    await until(() => begun() === 1 && waiting() === 2);
    writeFileSync(at('go'), '');
    for (const { ended } of all) {
      const { code, out } = await ended;
      expect([code, out]).toEqual([0, expect.stringMatching(/^started .*cli\/main\.ts status\n$/)]);
    }
    expect(log().map((line) => line.split(' ')[0])).toEqual(['begin', 'end']);
    expect(readdirSync(clone).filter((name) => name.startsWith('.mw-install'))).toEqual([]);
  });

  it('waits for an npm whose `mw` was killed, and is not held up by one that was killed itself', async () => {
    const first = mw();
    await until(() => begun() === 1);
    first.child.kill('SIGKILL');
    const second = mw();
    const third = mw();
    await until(() => waiting() === 2);
    expect(begun()).toBe(1);
    process.kill(pidOf(log()[0]), 'SIGKILL');
    await until(() => begun() === 2);
    writeFileSync(at('go'), '');
    expect([(await second.ended).code, (await third.ended).code]).toEqual([0, 0]);
    expect(log().map((line) => line.split(' ')[0])).toEqual(['begin', 'begin', 'end']);
  });

  it('that fails says so by its exit code, and the next one installs', async () => {
    writeFileSync(at('go'), '');
    writeFileSync(at('fail'), '');
    expect((await mw().ended).code).toBe(7);
    rmSync(at('fail'));
    expect(await mw().ended).toMatchObject({ code: 0, out: expect.stringContaining('started') });
    expect(begun()).toBe(2);
  });
});
