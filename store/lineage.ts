import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import type { DatasetBucket, DatasetManifest, Split } from '../core/dataset.ts';
import { fineBuckets } from '../core/dirty-buckets.ts';
import { bucketOf } from '../platform/hash.ts';
import { type LineageProof, lineDigest } from './lineage-proof.ts';
import { merklePath, merkleRoot } from './merkle.ts';
import type { ObjectStore } from './object-store.ts';

const decompress = promisify(zstdDecompress);

export type LearnedRow = { readonly id: string; readonly split: Split; readonly digest: string };

/** Buckets that a request keeps in memory: versions share most of theirs. */
const keptBuckets = 8;

/** Reads datasets row by row: which rows a version learned, and the proof that a row is among them. */
export class DatasetReader {
  readonly #store: ObjectStore;
  readonly #rows = new Map<string, Promise<readonly LearnedRow[]>>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** The manifest, verified against its digest. */
  async manifest(ref: { readonly key: string; readonly sha256: string }): Promise<DatasetManifest> {
    return JSON.parse(Buffer.from(await this.#store.read(ref)).toString('utf8')) as DatasetManifest;
  }

  /** Rows of a stored bucket in the order of the file. */
  rows({ ref }: Pick<DatasetBucket, 'ref'>): Promise<readonly LearnedRow[]> {
    const known = this.#rows.get(ref.sha256);
    if (known) return known;
    const rows = this.#store.read(ref).then(async (bytes) =>
      (await decompress(bytes))
        .toString('utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => {
          const { id, split } = JSON.parse(line) as { id: string; split: Split };
          return { id, split, digest: lineDigest(line) };
        }),
    );
    for (const oldest of [...this.#rows.keys()].slice(0, -keptBuckets)) this.#rows.delete(oldest);
    this.#rows.set(ref.sha256, rows);
    return rows;
  }

  /** The row and its way up to the dataset's digest; null where the dataset does not hold it. */
  async proofOf(manifest: DatasetManifest, exampleId: string): Promise<Omit<LineageProof, 'version'> | null> {
    const width = fineBuckets / manifest.bucketCount;
    const fine = bucketOf(exampleId);
    const index = Math.floor(fine / width);
    const bucket = manifest.buckets[index];
    if (!bucket) return null;
    const rows = await this.rows(bucket);
    const groups: LearnedRow[][] = Array.from({ length: width }, () => []);
    for (const row of rows) groups[bucketOf(row.id) - index * width]?.push(row);
    const group = groups[fine - index * width] ?? [];
    const at = group.findIndex(({ id }) => id === exampleId);
    const row = group[at];
    if (!row) return null;
    const leaves = groups.map((one) => one.map(({ digest }) => Buffer.from(digest, 'hex')));
    // Three trees one on the other: the rows of a finest bucket, the finest buckets of a bucket, the buckets of the dataset.
    const proof = [
      ...merklePath(leaves[fine - index * width] ?? [], at),
      ...merklePath(leaves.map(merkleRoot), fine - index * width),
      ...merklePath(
        manifest.buckets.map(({ digest }) => Buffer.from(digest, 'hex')),
        index,
      ),
    ];
    return { dataset: { number: manifest.number, digest: manifest.digest }, leaf: { digest: row.digest, split: row.split }, proof };
  }
}
