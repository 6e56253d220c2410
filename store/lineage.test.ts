import { zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { DatasetManifest } from '../core/dataset.ts';
import { bucketOf, sha256Hex } from '../platform/hash.ts';
import { DatasetReader } from './lineage.ts';
import { lineDigest, proofProblem } from './lineage-proof.ts';
import { leafDigest, merklePath, merkleRoot, rootOfPath } from './merkle.ts';
import type { ObjectStore } from './object-store.ts';

const line = (id: string): string => JSON.stringify({ text: `about ${id}`, label: 'l', id, split: 'train' });

/** A dataset of so many buckets in a store in memory. */
function datasetOf(ids: readonly string[], bucketCount: number): { manifest: DatasetManifest; reader: DatasetReader } {
  const width = 256 / bucketCount;
  const groups: string[][] = Array.from({ length: 256 }, () => []);
  for (const id of [...ids].sort()) groups[bucketOf(id)]?.push(id);
  const objects = new Map<string, Uint8Array>();
  const buckets = Array.from({ length: bucketCount }, (_, index) => {
    const fine = groups.slice(index * width, (index + 1) * width);
    const bytes = zstdCompressSync(
      Buffer.from(
        fine
          .flat()
          .map((id) => `${line(id)}\n`)
          .join(''),
      ),
    );
    const sha256 = sha256Hex(bytes);
    objects.set(sha256, bytes);
    const digest = merkleRoot(fine.map((group) => merkleRoot(group.map((id) => leafDigest(line(id)))))).toString('hex');
    return { index, ref: { bucket: 'b', key: sha256, sha256, bytes: bytes.byteLength }, rows: fine.flat().length, digest, labels: {} };
  });
  const digest = merkleRoot(buckets.map((bucket) => Buffer.from(bucket.digest, 'hex'))).toString('hex');
  const store = { read: async ({ sha256 }: { sha256: string }) => await Promise.resolve(objects.get(sha256)) } as unknown as ObjectStore;
  return { manifest: { number: 1, digest, bucketCount, buckets } as unknown as DatasetManifest, reader: new DatasetReader(store) };
}

describe('a path in the tree', () => {
  it('leads from every digest to the root, whatever their number', () => {
    for (let count = 1; count <= 33; count++) {
      const digests = Array.from({ length: count }, (_, i) => leafDigest(String(i)));
      const root = merkleRoot(digests);
      digests.forEach((digest, i) => expect(rootOfPath(digest, merklePath(digests, i))).toEqual(root));
      expect(rootOfPath(leafDigest('other'), merklePath(digests, 0))).not.toEqual(root);
    }
  });
});

describe('a proof of lineage', () => {
  const ids = Array.from({ length: 700 }, (_, i) => `e${i}`);

  it('is there for any row, in a dataset of any number of buckets, and ends at the same digest', async () => {
    const digests = new Set<string>();
    for (const bucketCount of [1, 4, 256]) {
      const { manifest, reader } = datasetOf(ids, bucketCount);
      digests.add(manifest.digest);
      for (const id of ids.filter((_, i) => i % 20 === 0)) {
        const proof = await reader.proofOf(manifest, id);
        if (!proof) throw new Error(`no proof of ${id}`);
        expect(proofProblem({ version: 1, ...proof }, line(id))).toBeNull();
        expect(proof.leaf.digest).toBe(lineDigest(line(id)));
      }
      expect(await reader.proofOf(manifest, 'absent')).toBeNull();
    }
    expect(digests.size).toBe(1);
  });

  it('is refused when anything of it was changed', async () => {
    const { manifest, reader } = datasetOf(ids, 4);
    const proof = await reader.proofOf(manifest, 'e7');
    if (!proof) throw new Error('no proof');
    const item = { version: 3, ...proof };
    const zero = '0'.repeat(64);
    expect(proofProblem({ ...item, leaf: { ...item.leaf, digest: zero } })).toContain('leads to');
    expect(proofProblem({ ...item, proof: item.proof.slice(1) })).toContain('v3');
    expect(proofProblem({ ...item, dataset: { ...item.dataset, digest: zero } })).toContain(zero);
    expect(proofProblem(item, line('e8'))).toContain('the line');
    expect(proofProblem({ ...item, leaf: { ...item.leaf, digest: 'x' } })).toContain('not made of SHA-256');
  });
});
