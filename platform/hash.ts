import { createHash } from 'node:crypto';
import { type Json, canonicalJson, canonicalJsonOf } from '../core/json.ts';
import type { SourceMapping } from '../core/source-mapping.ts';

export const sha256Hex = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Finest dataset bucket of an example: first byte of SHA-256 of its id, as the generated column `examples.bucket`. */
export const bucketOf = (exampleId: string): number => createHash('sha256').update(exampleId).digest()[0] as number;

/** Digest of a customization's options: equal options, equal digest, whatever their order. A change of it is a reason to train. */
export const optionsDigest = (options: Json): string => sha256Hex(canonicalJson(options));

/** Digest of where a customization's rows are and how they are read. A change of it is a reason to compare everything. */
export const sourceDigest = (source: SourceMapping): string => sha256Hex(canonicalJsonOf(source));
