import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { CustomizationKey, RunKey } from '../../core/ids.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { keptEmbeddingsKey, keptPrefix, stagingKey } from '../../store/keys.ts';
import { ObjectMissing, type ObjectStore, addressesOf } from '../../store/object-store.ts';
import { baseFileDigests, storeBaseFile } from '../sharding/base-parts.ts';
import { type JobRequest, type JobResult, type RemoteFolders, addressSeconds } from '../training/executor.ts';

/** Checkpoints of so many attempts before are looked for. */
const attemptsBack = 5;
const checkpointFile = 'checkpoint';
const resultFile = 'result.json';

/** What jobs without a lasting disk have in the store instead. */
export type RemoteJobs = {
  readonly folders: (key: RunKey, attempt: number, base: JobRequest['base']) => Promise<RemoteFolders>;
  /** The result of an attempt that ended well, whatever has become of its job; null: there is none. */
  readonly result: (key: RunKey & { readonly attempt: number }) => Promise<Extract<JobResult, { class: 'ok' }> | null>;
  readonly caches: () => Promise<readonly CustomizationKey[]>;
  readonly removeCache: (key: CustomizationKey) => Promise<void>;
};

/** `seen`: the same store at the address at which jobs see it. */
export function createRemoteJobs(store: ObjectStore, seen: Pick<ObjectStore, 'presignGet' | 'presignPut' | 'presignAll'>): RemoteJobs {
  return {
    folders: async (key, attempt, base) => {
      const baseModel = await Promise.all(
        Object.entries(await baseFileDigests(base)).map(async ([path, sha256]) => {
          const { ref } = await storeBaseFile(store, join(base.folder, path), sha256, () => undefined);
          return { path, ...(await addressesOf(seen, 'get', ref.key, addressSeconds)), sha256, bytes: ref.bytes };
        }),
      );
      const attempts = Array.from({ length: Math.min(attempt, attemptsBack) }, (_, i) => attempt - i);
      return {
        baseModel,
        checkpoint: {
          put: await seen.presignPut(stagingKey(key, attempt, checkpointFile), addressSeconds),
          get: (
            await Promise.all(attempts.map((one) => addressesOf(seen, 'get', stagingKey(key, one, checkpointFile), addressSeconds)))
          ).flatMap(({ url, otherUrls }) => [url, ...otherUrls]),
        },
        cache: {
          put: await seen.presignPut(keptEmbeddingsKey(key), addressSeconds),
          get: await seen.presignGet(keptEmbeddingsKey(key), addressSeconds),
        },
      };
    },
    result: async (key) => {
      let staged: string;
      try {
        staged = await text(await store.stream(stagingKey(key, key.attempt, resultFile)));
      } catch (error) {
        if (error instanceof ObjectMissing) return null;
        throw error;
      }
      const result = JSON.parse(staged) as JobResult;
      if (result.class !== 'ok') return null;
      // A file cannot name its own digest.
      const own = { name: resultFile, sha256: sha256Hex(staged), bytes: Buffer.byteLength(staged) };
      return { ...result, files: [...result.files.filter(({ name }) => name !== resultFile), own] };
    },
    caches: async () => {
      const found: CustomizationKey[] = [];
      for await (const { key } of store.list(keptPrefix)) {
        const [tenantId = '', customizationId = ''] = key.slice(keptPrefix.length).split('/');
        found.push({ tenantId, customizationId });
      }
      return found;
    },
    removeCache: (key) => store.delete([keptEmbeddingsKey(key)]),
  };
}
