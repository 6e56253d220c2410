import { Readable } from 'node:stream';
import type { RunKey } from '../../core/ids.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { ObjectMissing, type ObjectStore } from '../../store/object-store.ts';

const bytesOf = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const answers = ['a', 'b'].map((label) => JSON.stringify({ id: `row-${label}`, expected: { label }, predicted: { label } })).join('\n');
const stagedFiles: Readonly<Record<string, Buffer>> = { 'eval.jsonl': bytesOf(answers), 'model.safetensors': bytesOf('weights') };

/** What a job that ended well leaves, the same for all of them. */
const result = bytesOf({
  class: 'ok',
  rows: { train: 8, evaluation: 2 },
  labels: ['a', 'b'],
  files: Object.entries(stagedFiles).map(([name, bytes]) => ({ name, sha256: sha256Hex(bytes), bytes: bytes.byteLength })),
  trainMs: 1,
  encoder: 'base',
  embeddingDim: 384,
  maxTokens: 128,
});
const files: Readonly<Record<string, Buffer>> = { ...stagedFiles, 'result.json': result };

const stagedKey = /^tenants\/([^/]+)\/([^/]+)\/runs\/(\d+)\/(\d+)\/([^/]+)$/;

/**
 * A stand-in for the object store, where no pod really runs: simulated pods cannot write to S3, so that what a job leaves is in it from when the
 * cluster says that the job is complete, and not before. Datasets are all the same one, `manifest`.
 */
export function simulatedStore(
  complete: (key: RunKey & { readonly attempt: number }) => boolean,
  presigner: Pick<ObjectStore, 'presignGet' | 'presignPut'>,
  manifest: unknown = {},
): ObjectStore {
  const stagedOf = (key: string): Buffer | null => {
    const [, tenantId = '', customizationId = '', run, attempt, file = ''] = stagedKey.exec(key) ?? [];
    const bytes = files[file];
    const of = { tenantId, customizationId, run: Number(run), attempt: Number(attempt) };
    return bytes !== undefined && complete(of) ? bytes : null;
  };
  const missing = (key: string): Error => new ObjectMissing(`${key} does not exist`);
  return {
    bucket: 'simulated',
    putContent: (key, bytes, sha256) =>
      Promise.resolve({ ref: { bucket: 'simulated', key, sha256, bytes: bytes.byteLength }, created: false }),
    putContentStream: (key, { bytes, sha256 }) => Promise.resolve({ ref: { bucket: 'simulated', key, sha256, bytes }, created: false }),
    putNew: (key, bytes) =>
      Promise.resolve({ ref: { bucket: 'simulated', key, sha256: sha256Hex(bytes), bytes: bytes.byteLength }, created: true }),
    read: async ({ key }) =>
      await Promise.resolve(stagedKey.test(key) ? (stagedOf(key) ?? Promise.reject(missing(key))) : bytesOf(manifest)),
    stream: async (key) => {
      const bytes = stagedOf(key);
      return bytes ? await Promise.resolve(Readable.from([bytes])) : await Promise.reject(missing(key));
    },
    streamPart: async (key, from, bytes) => {
      const all = stagedOf(key);
      return all ? await Promise.resolve(Readable.from([all.subarray(from, from + bytes)])) : await Promise.reject(missing(key));
    },
    // Files of base models are there.
    size: (key) => Promise.resolve(stagedKey.test(key) ? (stagedOf(key)?.byteLength ?? null) : 1),
    replace: () => Promise.resolve(),
    delete: () => Promise.resolve(),
    dropUploads: () => Promise.resolve(0),
    // eslint-disable-next-line no-empty-function
    list: async function* () {},
    presignGet: (key, seconds) => presigner.presignGet(key, seconds),
    presignPut: (key, seconds) => presigner.presignPut(key, seconds),
  };
}
