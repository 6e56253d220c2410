import { open, readlink, readdir, stat, lstat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** What goes into an archive. `path` has no leading slash; `source` is a file of this machine, or the content itself. */
export type TarEntry =
  | { readonly type: 'file'; readonly path: string; readonly source: string | Buffer; readonly executable?: boolean }
  | { readonly type: 'link'; readonly path: string; readonly target: string }
  | { readonly type: 'folder'; readonly path: string; readonly mode?: number };

export type TarSink = (bytes: Buffer) => Promise<void>;

const blockBytes = 512;
const chunkBytes = 1024 * 1024;
const zeros = Buffer.alloc(2 * blockBytes);
const typeFlags = { file: '0', link: '2', folder: '5' } as const;

/**
 * Writes an archive whose bytes follow from names and contents alone: entries are sorted, owners are root, times are 1970. Folders that are not
 * named are made.
 */
export async function writeTar(entries: readonly TarEntry[], sink: TarSink): Promise<void> {
  for (const entry of withFolders(entries)) {
    if (entry.type === 'folder') await sink(header(entry.path, 'folder', entry.mode ?? 0o755, 0, ''));
    else if (entry.type === 'link') await sink(header(entry.path, 'link', 0o777, 0, entry.target));
    else await writeFileEntry(entry, sink);
  }
  await sink(zeros);
}

async function writeFileEntry(entry: Extract<TarEntry, { type: 'file' }>, sink: TarSink): Promise<void> {
  const mode = entry.executable === true ? 0o755 : 0o644;
  const { source } = entry;
  const size = typeof source === 'string' ? (await stat(source)).size : source.length;
  await sink(header(entry.path, 'file', mode, size, ''));
  if (typeof source === 'string') await copyFrom(source, size, sink);
  else await sink(source);
  const rest = size % blockBytes;
  if (rest > 0) await sink(zeros.subarray(0, blockBytes - rest));
}

async function copyFrom(source: string, size: number, sink: TarSink): Promise<void> {
  const file = await open(source);
  try {
    for (let left = size; left > 0;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(chunkBytes, left)));
      if (bytesRead === 0) throw new Error(`${source} became shorter while it was read`);
      await sink(buffer.subarray(0, bytesRead));
      left -= bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** Sorted, with the folders above each entry, the first of two with the same path. */
function withFolders(entries: readonly TarEntry[]): TarEntry[] {
  const all = new Map<string, TarEntry>();
  for (const entry of entries) if (!all.has(entry.path)) all.set(entry.path, entry);
  for (const { path } of entries) {
    for (let folder = dirname(path); folder !== '.' && !all.has(folder); folder = dirname(folder)) {
      all.set(folder, { type: 'folder', path: folder });
    }
  }
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function header(path: string, type: keyof typeof typeFlags, mode: number, size: number, target: string): Buffer {
  const name = type === 'folder' ? `${path}/` : path;
  const long = [
    ...(Buffer.byteLength(name) > 100 ? [['path', name]] : []),
    ...(Buffer.byteLength(target) > 100 ? [['linkpath', target]] : []),
  ];
  const plain = block(name.slice(0, 100), typeFlags[type], mode, size, target.slice(0, 100));
  if (long.length === 0) return plain;
  // What does not fit into the old header stands in an extended one before it.
  const records = Buffer.from(long.map(([key = '', value = '']) => record(key, value)).join(''));
  const padding = (blockBytes - (records.length % blockBytes)) % blockBytes;
  return Buffer.concat([block('extended', 'x', 0o644, records.length, ''), records, zeros.subarray(0, padding), plain]);
}

/** `LENGTH key=value\n`, where the length counts its own digits. */
function record(key: string, value: string): string {
  const body = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(body);
  let length = bytes + String(bytes).length;
  if (String(length).length > String(bytes).length) length += 1;
  return `${length}${body}`;
}

function block(name: string, type: string, mode: number, size: number, target: string): Buffer {
  const bytes = Buffer.alloc(blockBytes);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  bytes.write(name, 0, 100);
  bytes.write(octal(mode, 7), 100);
  bytes.write(octal(0, 7), 108);
  bytes.write(octal(0, 7), 116);
  bytes.write(octal(size, 11), 124);
  bytes.write(octal(0, 11), 136);
  bytes.write(' '.repeat(8), 148);
  bytes.write(type, 156);
  bytes.write(target, 157, 100);
  bytes.write('ustar\u000000', 257);
  let sum = 0;
  for (const byte of bytes) sum += byte;
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return bytes;
}

/** Everything in a folder. Links within it stay links; `keeps` is asked for files and folders, by their path in the folder. */
export async function folderEntries(source: string, path: string, keeps: (relative: string) => boolean = () => true): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  const walk = async (relative: string): Promise<void> => {
    for (const name of (await readdir(join(source, relative))).sort()) {
      const below = join(relative, name);
      if (!keeps(below)) continue;
      const from = join(source, below);
      const to = join(path, below);
      const facts = await lstat(from);
      if (facts.isDirectory()) await walk(below);
      else if (facts.isFile()) entries.push({ type: 'file', path: to, source: from, executable: (facts.mode & 0o100) !== 0 });
      else if (facts.isSymbolicLink()) {
        const target = await readlink(from);
        if (!target.startsWith('/') && !target.startsWith('..')) entries.push({ type: 'link', path: to, target });
        else if ((await stat(from).catch(() => null))?.isFile()) entries.push({ type: 'file', path: to, source: from });
      }
    }
  };
  await walk('');
  return entries;
}
