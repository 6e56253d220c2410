import { createHash } from 'node:crypto';

/** RFC 6962 hashing: leaves and inner nodes have different prefixes, so that neither can be passed off as the other. */
const leafPrefix = Buffer.from([0]);
const nodePrefix = Buffer.from([1]);

const emptyRoot: Buffer = createHash('sha256').digest();

export const leafDigest = (line: string | Uint8Array): Buffer => createHash('sha256').update(leafPrefix).update(line).digest();
const nodeDigest = (left: Uint8Array, right: Uint8Array): Buffer =>
  createHash('sha256').update(nodePrefix).update(left).update(right).digest();

/** Root over the digests in their order; an odd one goes up unchanged. Of a power of two it is the root of any even partition's roots. */
export function merkleRoot(digests: readonly Buffer[]): Buffer {
  let level = digests;
  if (level.length === 0) return emptyRoot;
  while (level.length > 1) {
    const next: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i] as Buffer;
      const right = level[i + 1];
      next.push(right ? nodeDigest(left, right) : left);
    }
    level = next;
  }
  return level[0] as Buffer;
}
