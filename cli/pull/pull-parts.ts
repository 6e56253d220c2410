import { constants } from 'node:fs';
import { copyFile, link, mkdir, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import { sha256OfFile } from '../../store/encoder-folder.ts';
import { CommandError } from '../command.ts';
import type { Screen } from '../screen.ts';
import { bytes } from '../wording.ts';
import type { Addresses } from './addresses.ts';
import { type Part, type Patience, fetchPart } from './fetch-part.ts';
import { lockFolder } from './folder-lock.ts';
import { Progress } from './progress.ts';

/** Downloads at once. */
const parallel = 4;
/** Where parts are until all are there; kept when a pull breaks off. */
const stagingFolder = '.pull';
const lockFile = /^lock\./;

export type PulledText = { readonly path: string; readonly text: string };
export type Wanted = {
  readonly addresses: Addresses;
  readonly parts: readonly Part[];
  readonly texts: readonly PulledText[];
  /** Its presence says that the folder is whole: it goes first and comes last. */
  readonly seal: PulledText;
  /** What an older pull has put into the folder, judged by its seal: what is not wanted any more goes. */
  readonly formerParts: (seal: string) => Promise<readonly Part[]>;
};
export type Pulled = { readonly bytes: number; readonly fetchedBytes: number };

/**
 * Brings parts into a folder, all or nothing: they are fetched beside it, and change places with what was there when the last one is right. Parts
 * that are in the folder already, under whatever name, are not fetched. Called again after whatever end it goes on; two at once do not mix.
 */
export async function pullParts(folder: string, wanted: Wanted, screen: Screen, patience?: Patience): Promise<Pulled> {
  const target = resolve(folder);
  for (const { path } of [...wanted.parts, ...wanted.texts, wanted.seal])
    if (!isInside(target, path)) throw new CommandError(`the manifest names a file outside the folder: ${path}`);
  await mkdir(target, { recursive: true });
  const staging = join(target, stagingFolder);
  const release = await lockFolder(staging, target);
  try {
    const total = wanted.parts.reduce((sum, part) => sum + part.bytes, 0);
    const progress = new Progress(screen, 'pulling', total);
    const seal = join(target, wanted.seal.path);
    const formerSeal = join(staging, 'former-seal');
    const former = [...(await wanted.formerParts(seal)), ...(await wanted.formerParts(formerSeal))].filter(({ path }) =>
      isInside(target, path),
    );
    const missing = await missingParts(target, staging, wanted.parts, former, progress);
    await checkSpace(target, missing);
    await fetchAll(wanted.addresses, missing, progress, patience);
    // From here on the folder is neither the old version nor the new one, and the seal that says so is away.
    await rename(seal, formerSeal).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    for (const { part, file } of missing) {
      await mkdir(dirname(join(target, part.path)), { recursive: true });
      await rename(file, join(target, part.path));
    }
    const kept = new Set([...wanted.parts, ...wanted.texts].map(({ path }) => path));
    for (const { path } of former) if (!kept.has(path)) await rm(join(target, path), { force: true });
    for (const text of [...wanted.texts, wanted.seal]) {
      await writeFile(join(staging, 'text'), text.text, { flush: true });
      await rename(join(staging, 'text'), join(target, text.path));
    }
    for (const file of await readdir(staging)) if (!lockFile.test(file)) await rm(join(staging, file), { force: true, recursive: true });
    return { bytes: total, fetchedBytes: progress.fetchedBytes };
  } finally {
    await release();
  }
}

type Missing = { readonly part: Part; readonly file: string };

const isInside = (target: string, path: string): boolean => {
  const full = resolve(target, path);
  return full.startsWith(`${target}${sep}`) && !full.startsWith(join(target, stagingFolder));
};

/** SHA-256 of a file of that size, or nothing. */
const holds = async (path: string, part: Pick<Part, 'sha256' | 'bytes'>): Promise<boolean> =>
  (await stat(path).catch(() => null))?.size === part.bytes && (await sha256OfFile(path)) === part.sha256;

/** The parts that are not in the folder under their names. Those that are there under other names are put beside it, and so count as fetched. */
async function missingParts(
  target: string,
  staging: string,
  parts: readonly Part[],
  former: readonly Part[],
  progress: Progress,
): Promise<Missing[]> {
  const missing: Missing[] = [];
  for (const part of parts) {
    if (await holds(join(target, part.path), part)) {
      progress.reached(part.path, part.bytes);
      continue;
    }
    const file = join(staging, `${part.sha256}.${sha256Hex(part.path).slice(0, 8)}.part`);
    missing.push({ part, file });
    const same = former.find(({ sha256, path }) => sha256 === part.sha256 && path !== part.path);
    if (!same || !(await holds(join(target, same.path), part))) continue;
    await rm(file, { force: true });
    const from = join(target, same.path);
    await link(from, file).catch(async () => await copyFile(from, file, constants.COPYFILE_FICLONE));
  }
  return missing;
}

async function checkSpace(target: string, missing: readonly Missing[]): Promise<void> {
  let needed = 0;
  for (const { part, file } of missing) needed += Math.max(0, part.bytes - ((await stat(file).catch(() => null))?.size ?? 0));
  const { bavail, bsize } = await statfs(target);
  const free = bavail * bsize;
  if (needed > free)
    throw new CommandError(`${target} has room for ${bytes(free)}, ${bytes(needed)} are to come: make room, or choose another folder`);
}

/** The first failure stops the others; what they have so far is kept. */
async function fetchAll(addresses: Addresses, missing: readonly Missing[], progress: Progress, patience?: Patience): Promise<void> {
  const queue = [...missing];
  const stopping = new AbortController();
  const results = await Promise.allSettled(
    Array.from({ length: Math.min(parallel, queue.length) }, async () => {
      for (let next = queue.shift(); next && !stopping.signal.aborted; next = queue.shift()) {
        const { part, file } = next;
        const on = { report: (count: number) => progress.reached(part.path, count), fetched: (count: number) => progress.fetched(count) };
        try {
          await fetchPart(addresses, part, file, on, stopping.signal, patience);
        } catch (error) {
          stopping.abort(error);
          throw error;
        }
      }
    }),
  );
  if (results.some(({ status }) => status === 'rejected')) throw stopping.signal.reason;
}
