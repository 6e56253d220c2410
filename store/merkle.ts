import { createHash } from 'node:crypto';

/** RFC 6962 hashing: leaves and inner nodes have different prefixes, so that neither can be passed off as the other. */
const leafPrefix = Buffer.from([0]);
const nodePrefix = Buffer.from([1]);

const emptyRoot: Buffer = createHash('sha256').digest();

export const leafDigest = (line: string | Uint8Array): Buffer => createHash('sha256').update(leafPrefix).update(line).digest();
export const nodeDigest = (left: Uint8Array, right: Uint8Array): Buffer =>
  createHash('sha256').update(nodePrefix).update(left).update(right).digest();

function parents(level: readonly Buffer[]): Buffer[] {
  const next: Buffer[] = [];
  for (let i = 0; i < level.length; i += 2) {
    const [left, right] = level.slice(i, i + 2);
    if (left) next.push(right ? nodeDigest(left, right) : left);
  }
  return next;
}

/** Root over the digests in their order; an odd one goes up unchanged. Of a power of two it is the root of any even partition's roots. */
export function merkleRoot(digests: readonly Buffer[]): Buffer {
  let level = digests;
  while (level.length > 1) level = parents(level);
  return level[0] ?? emptyRoot;
}

/** One step of the way from a digest to the root: the neighbour, and the side that it stands on. */
export type MerkleStep = { readonly side: 'left' | 'right'; readonly digest: string };

/** Neighbours on the way from the digest at the index to the root. One that goes up unchanged has none on that level. */
export function merklePath(digests: readonly Buffer[], index: number): MerkleStep[] {
  const path: MerkleStep[] = [];
  let at = index;
  for (let level = digests; level.length > 1; at >>= 1) {
    const neighbour = level[at ^ 1];
    if (neighbour) path.push({ side: at % 2 === 1 ? 'left' : 'right', digest: neighbour.toString('hex') });
    level = parents(level);
  }
  return path;
}

/** Root that the steps lead to from a digest. */
export const rootOfPath = (digest: Buffer, path: readonly MerkleStep[]): Buffer =>
  path.reduce((below, step) => {
    const neighbour = Buffer.from(step.digest, 'hex');
    return step.side === 'left' ? nodeDigest(neighbour, below) : nodeDigest(below, neighbour);
  }, digest);
