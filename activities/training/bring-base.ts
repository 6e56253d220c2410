import { createWriteStream } from 'node:fs';
import { access, mkdir, rename, rm } from 'node:fs/promises';
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
 * on with. What is not whole yet lies in another: that folder becomes the target, whoever else is at work. Several at once do not disturb each other: what
 * one of them finds gone, another has put where it belongs. Fails with BadOptions where the folder cannot be written.
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
    const parts = `${target}.${pushed.digest.slice(0, 12)}.parts.building`;
    // Others may write there for another moment; what stays of that is in nobody's way.
    const clear = async (): Promise<void> => {
      for (const folder of [parts, gathering])
        await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }).catch(() => undefined);
    };
    try {
      for (const folder of [gathering, parts]) await mkdir(folder, { recursive: true });
      for (const file of pushed.files) await bringFile(store, { gathering, parts }, file, beat);
      await rename(gathering, target);
      await clear();
    } catch (error) {
      // Another one at it was first.
      if (await isThere(target)) return await clear();
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

async function bringFile(
  store: ObjectStore,
  { gathering, parts }: { readonly gathering: string; readonly parts: string },
  { path, sha256, bytes }: PushedFile,
  beat: () => void,
): Promise<void> {
  const target = join(gathering, path);
  if ((await isThere(target)) && (await fileSource(target)).bytes === bytes) return;
  const part = join(parts, `${sha256}.${randomUUID()}`);
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
