import { createWriteStream } from 'node:fs';
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { randomUUID } from '../../platform/clock.ts';
import type { Pool } from '../../platform/mysql.ts';
import { sha256OfFile } from '../../store/encoder-folder.ts';
import { baseFileKey } from '../../store/keys.ts';
import { CorruptObject, type ObjectStore } from '../../store/object-store.ts';
import { failure } from '../failure.ts';
import { type PushedFile, pushedBase } from '../sharding/base-registry.ts';
import { fileSource, stagedSource, streamOf } from '../sharding/tensor-source.ts';

/** Brings a base model that was pushed to the store into MW_MODELS_DIR; does nothing where none of the name was. */
export type BringBase = (name: string) => Promise<void>;

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/**
 * Key: name + digest. Files gather in a folder beside it, each under its name when its SHA-256 was found right, so that a try that was killed is gone
 * on with; several at once do not disturb each other. Fails with BadOptions where the folder cannot be written.
 */
export const bringPushedBase =
  ({
    pool,
    store,
    modelsDir,
    beat,
  }: {
    readonly pool: Pool;
    readonly store: ObjectStore;
    readonly modelsDir: string;
    readonly beat: () => void;
  }): BringBase =>
  async (name) => {
    const pushed = await pushedBase(pool, name);
    if (!pushed) return;
    const target = join(modelsDir, name);
    const gathering = `${target}.${pushed.digest.slice(0, 12)}.building`;
    try {
      await mkdir(gathering, { recursive: true });
      for (const file of pushed.files) await bringFile(store, gathering, file, beat);
      for (const left of await readdir(gathering)) if (left.endsWith('.part')) await rm(join(gathering, left), { force: true });
      await rename(gathering, target);
    } catch (error) {
      // Another one at it was first.
      if (await isThere(target)) return;
      const { code = '' } = error as NodeJS.ErrnoException;
      if (/^(EROFS|EACCES|EPERM|ENOTDIR|EEXIST|ENOSPC|EDQUOT)$/.test(code))
        throw failure(
          'BadOptions',
          `the base model ${name} was pushed to the store, and cannot be written to ${modelsDir} of this worker (${code}): give it room and permission there, or set MW_MODELS_DIR`,
          error,
        );
      throw error;
    }
  };

async function bringFile(store: ObjectStore, folder: string, { path, sha256, bytes }: PushedFile, beat: () => void): Promise<void> {
  const target = join(folder, path);
  if ((await isThere(target)) && (await fileSource(target)).bytes === bytes) return;
  const part = join(folder, `${sha256}.${randomUUID()}.part`);
  const key = baseFileKey(sha256);
  try {
    const body = streamOf(stagedSource(store, { bucket: store.bucket, key, sha256, bytes }), beat);
    await pipeline(body, createWriteStream(part, { flush: true }));
    beat();
    if ((await sha256OfFile(part)) !== sha256)
      throw new CorruptObject(`${key} does not have its SHA-256: push the base model again, by \`./mw base push\``);
    await rename(part, target);
  } finally {
    await rm(part, { force: true });
  }
}
