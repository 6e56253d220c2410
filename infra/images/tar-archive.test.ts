import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TarEntry, folderEntries, writeTar } from './tar-archive.ts';

const long = `${'folder-with-a-long-name/'.repeat(6)}file`;

async function archive(entries: readonly TarEntry[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  await writeTar(entries, async (bytes) => void parts.push(Buffer.from(bytes)));
  return Buffer.concat(parts);
}

describe('an archive', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'mw-tar-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const entries = (): TarEntry[] => [
    { type: 'file', path: 'b/run', source: Buffer.from('x'.repeat(513)), executable: true },
    { type: 'file', path: long, source: Buffer.from('deep') },
    { type: 'link', path: 'a', target: `b/${'target'.repeat(20)}` },
    { type: 'folder', path: 'tmp', mode: 0o1777 },
  ];

  it('is read by tar as it was meant', async () => {
    const bytes = await archive(entries());
    const listed = execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--utc', '--file', '-'], {
      input: bytes,
      encoding: 'utf8',
    });
    const lines = listed
      .trim()
      .split('\n')
      .map((line) => line.replaceAll(/\s+/g, ' '));
    expect(lines).toContain('-rwxr-xr-x 0/0 513 1970-01-01 00:00 b/run');
    expect(lines).toContain(`-rw-r--r-- 0/0 4 1970-01-01 00:00 ${long}`);
    expect(lines).toContain(`lrwxrwxrwx 0/0 0 1970-01-01 00:00 a -> b/${'target'.repeat(20)}`);
    expect(lines).toContain('drwxrwxrwt 0/0 0 1970-01-01 00:00 tmp/');
    expect(lines).toContain('drwxr-xr-x 0/0 0 1970-01-01 00:00 b/');
    expect(execFileSync('tar', ['--extract', '--to-stdout', '--file', '-', long], { input: bytes, encoding: 'utf8' })).toBe('deep');
  });

  it('has the same bytes whatever the order of its entries', async () => {
    expect(await archive(entries().reverse())).toEqual(await archive(entries()));
  });

  it('takes a folder with its links, and leaves out what is not wanted and what leads out of it', async () => {
    mkdirSync(join(folder, 'sub/skipped'), { recursive: true });
    writeFileSync(join(folder, 'sub/file'), 'content', { mode: 0o755 });
    writeFileSync(join(folder, 'sub/skipped/other'), '');
    symlinkSync('file', join(folder, 'sub/link'));
    symlinkSync('/nowhere', join(folder, 'sub/dangling'));
    expect(await folderEntries(folder, 'opt', (path) => path !== 'sub/skipped')).toEqual([
      { type: 'file', path: 'opt/sub/file', source: join(folder, 'sub/file'), executable: true },
      { type: 'link', path: 'opt/sub/link', target: 'file' },
    ]);
  });
});
