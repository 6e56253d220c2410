import { type Hash, createHash } from 'node:crypto';
import type { ModelManifest } from '../../core/model.ts';
import { sleep } from '../../platform/clock.ts';
import type { Part } from '../pull/fetch-part.ts';
import type { PartSource } from './part-source.ts';

export type Fault = {
  readonly path: string;
  /** Site of the store; absent where it has one, and in a folder. */
  readonly site?: string;
  /** `untrusted`: of the manifest only. */
  readonly what: 'missing' | 'damaged' | 'unreadable' | 'untrusted';
  readonly detail: string;
  /** Tensors of the version that are lost with it; all of the shard, where the manifest has no digests of tensors. */
  readonly tensors: readonly string[];
};

/** Read at once. */
const parallel = 4;

/** Reads every part to its end. What is wrong with one is its fault; the others are read all the same. */
export async function verifyParts(
  { tensors }: Pick<ModelManifest, 'tensors'>,
  parts: readonly Part[],
  read: PartSource,
  report: (part: Part) => void,
): Promise<Fault[]> {
  const faults: Fault[] = [];
  const queue = [...parts];
  const one = async (part: Part): Promise<void> => {
    const fault = await faultOf(part, read);
    report(part);
    if (!fault) return;
    const own = Object.entries(tensors).filter(([, { shard }]) => shard === part.sha256);
    const lost =
      fault.what === 'damaged' ? await damagedTensors(own, part, read).catch(() => own.map(([name]) => name)) : own.map(([name]) => name);
    faults.push({ ...fault, path: part.path, tensors: lost.sort() });
  };
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      for (let part = queue.shift(); part; part = queue.shift()) await one(part);
    }),
  );
  return faults.sort((a, b) => (a.path < b.path ? -1 : 1));
}

type Finding = Pick<Fault, 'what' | 'detail'>;

/** How often a part is read before it counts as unreadable, and the pause between. */
const tries = 4;
const pauseMs = 1_000;

async function faultOf(part: Part, read: PartSource): Promise<Finding | null> {
  for (let left = tries; ;) {
    try {
      return await judged(part, read);
    } catch (error) {
      left -= 1;
      if (left === 0) return { what: 'unreadable', detail: `cannot be read: ${error instanceof Error ? error.message : String(error)}` };
      await sleep(pauseMs);
    }
  }
}

async function judged(part: Part, read: PartSource): Promise<Finding | null> {
  const hash = createHash('sha256');
  let size = 0;
  const found = await read(part, (chunk) => {
    hash.update(chunk);
    size += chunk.byteLength;
  });
  if (!found) return { what: 'missing', detail: 'is not there' };
  if (size !== part.bytes) return { what: 'damaged', detail: `has ${size} bytes instead of ${part.bytes}` };
  const sha256 = hash.digest('hex');
  return sha256 === part.sha256 ? null : { what: 'damaged', detail: `has the SHA-256 ${sha256} instead of ${part.sha256}` };
}

/** Which of a damaged shard's tensors are not what they were, by their own digests. */
async function damagedTensors(
  own: readonly (readonly [string, ModelManifest['tensors'][string]])[],
  part: Part,
  read: PartSource,
): Promise<string[]> {
  const hashes: { readonly name: string; readonly sha256: string; readonly begin: number; readonly end: number; readonly hash: Hash }[] =
    [];
  for (const [name, { offset, sha256, bytes }] of own) {
    if (offset === undefined || sha256 === undefined) return own.map(([one]) => one);
    hashes.push({ name, sha256, begin: offset, end: offset + bytes, hash: createHash('sha256') });
  }
  let at = 0;
  await read(part, (chunk) => {
    const end = at + chunk.byteLength;
    for (const tensor of hashes)
      if (tensor.begin < end && tensor.end > at)
        tensor.hash.update(chunk.subarray(Math.max(tensor.begin, at) - at, Math.min(tensor.end, end) - at));
    at = end;
  });
  return hashes.filter(({ hash, sha256 }) => hash.digest('hex') !== sha256).map(({ name }) => name);
}
