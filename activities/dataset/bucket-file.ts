import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import type { DatasetBucket, DatasetRow } from '../../core/dataset.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { datasetBucketKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { ScannedBucket } from './scan-bucket.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** The file of a bucket. */
export const bucketBytes = ({ rows }: Pick<ScannedBucket, 'rows'>): Promise<Buffer> =>
  compress(Buffer.from(rows.map(({ line }) => `${line}\n`).join(''), 'utf8'));

/** Stores a bucket under the digest of its bytes: equal rows are stored once. */
export async function writeBucket(store: ObjectStore, key: CustomizationKey, scanned: ScannedBucket): Promise<DatasetBucket> {
  const { index, rows, digest, labels, languages, counts } = scanned;
  const bytes = await bucketBytes(scanned);
  const sha256 = sha256Hex(bytes);
  const { ref } = await store.putContent(datasetBucketKey(key, sha256), bytes, sha256);
  return { index, ref, rows: rows.length, digest, labels, languages, counts };
}

/** Rows of a stored bucket. */
export const readRows = async (store: Pick<ObjectStore, 'read'>, bucket: DatasetBucket): Promise<DatasetRow[]> =>
  (await readBucket(store, bucket)).map((line) => JSON.parse(line) as DatasetRow);

/** Lines of a stored bucket, verified against its reference. */
export async function readBucket(store: Pick<ObjectStore, 'read'>, bucket: DatasetBucket): Promise<string[]> {
  const text = (await decompress(await store.read(bucket.ref))).toString('utf8');
  return text.split('\n').filter((line) => line !== '');
}
