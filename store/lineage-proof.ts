import { type MerkleStep, leafDigest, rootOfPath } from './merkle.ts';

/** That a version's dataset holds an example: from the digest of its line up to the digest of the dataset. */
export type LineageProof = {
  readonly version: number;
  readonly dataset: { readonly number: number; readonly digest: string };
  readonly leaf: { readonly digest: string; readonly split: string };
  readonly proof: readonly MerkleStep[];
};

/** What `mw lineage --out` writes and `mw lineage verify` reads. */
export type LineageFile = {
  readonly format: 'modelwright-lineage/1';
  readonly customization: string;
  readonly exampleId: string;
  readonly items: readonly LineageProof[];
};

const digestPattern = /^[0-9a-f]{64}$/;

/** SHA-256 of a zero byte and the line without its line end. */
export const lineDigest = (line: string): string => leafDigest(line).toString('hex');

/** What is wrong with a proof, as a sentence; null if nothing is. Needs no server. `line`: the example as the dataset has it. */
export function proofProblem({ dataset, leaf, proof, version }: LineageProof, line?: string): string | null {
  if (line !== undefined && lineDigest(line) !== leaf.digest)
    return `v${version}: the line does not have the digest of the leaf: it is not the row that this version learned`;
  if (![leaf, ...proof].every(({ digest }) => digestPattern.test(digest)))
    return `v${version}: the proof is not made of SHA-256 digests in lower-case hex`;
  const root = rootOfPath(Buffer.from(leaf.digest, 'hex'), proof).toString('hex');
  return root === dataset.digest ? null : `v${version}: the proof leads to ${root} and not to dataset ${dataset.digest}`;
}
