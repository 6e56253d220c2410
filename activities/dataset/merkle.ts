/** The tree is the store's: whoever checks a proof needs it too. */
export { leafDigest, merkleRoot } from '../../store/merkle.ts';
