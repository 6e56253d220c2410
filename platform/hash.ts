import { createHash } from 'node:crypto';

export const sha256Hex = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Finest dataset bucket of an example: first byte of SHA-256 of its id, as the generated column `examples.bucket`. */
export const bucketOf = (exampleId: string): number => createHash('sha256').update(exampleId).digest()[0] as number;
