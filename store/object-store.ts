import type { Readable } from 'node:stream';
import type { ObjectRef } from '../core/object-ref.ts';
import type { ObjectLocks } from './object-locks.ts';

/** Stored bytes that do not have the digest they should have. */
export class CorruptObject extends Error {
  override name = 'CorruptObject';
}

/** The store is away, or answers with an error that may pass. */
export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable';
}

/** The store cannot take so many bytes as one object; the same again will not do it. */
export class ObjectTooLarge extends Error {
  override name = 'ObjectTooLarge';
}

/** The object does not exist. */
export class ObjectMissing extends Error {
  override name = 'ObjectMissing';
}

export type PutResult = { readonly ref: ObjectRef; /** False when the object was there already. */ readonly created: boolean };

/** Bytes that are too many for memory. `open` may be called several times and gives the same bytes each time. */
export type ByteSource = { readonly bytes: number; readonly sha256: string; readonly open: () => Promise<Readable> };
export type ListedObject = { readonly key: string; readonly bytes: number; readonly modifiedMs: number };

/** What the platform asks of an object store. Every read is verified by the reader, never by an ETag. */
export type ObjectStore = {
  readonly bucket: string;
  /** Stores under a key that carries the bytes' own digest; does nothing when it is there. */
  putContent(key: string, bytes: Uint8Array, sha256: string): Promise<PutResult>;
  /**
   * The same from a stream, whatever its size: above 5 GiB in parts (ObjectTooLarge where the gateway does not do that). Stores nothing where its bytes do
   * not have the digest (CorruptObject), and throws what `open` or its stream throws.
   */
  putContentStream(key: string, source: ByteSource): Promise<PutResult>;
  /**
   * Stores only if the key is free: of two writers with different bytes one wins, the other gets `created: false`. True also where an earlier try
   * of the same call had stored the object and its answer was lost.
   */
  putNew(key: string, bytes: Uint8Array): Promise<PutResult>;
  /** The whole object, verified against the reference. For objects that fit in memory. */
  read(ref: Pick<ObjectRef, 'key' | 'sha256'>): Promise<Uint8Array>;
  /** A stream of the object, not verified: the caller hashes what it reads. */
  stream(key: string): Promise<Readable>;
  /** A stream of so many bytes from `from` on, not verified. */
  streamPart(key: string, from: number, bytes: number): Promise<Readable>;
  /** Size in bytes, null when there is no such object. */
  size(key: string): Promise<number | null>;
  /** Stores whether or not the key is taken: for repairs, which bring back the very bytes that belong there. */
  replace(key: string, bytes: Uint8Array): Promise<void>;
  /**
   * Removes them for good, every version of theirs where the bucket keeps any. Throws ObjectsLocked, after all else is gone, where object lock holds some;
   * `bypass`: those go too, where the credentials may do that.
   */
  delete(keys: readonly string[], signal?: AbortSignal, bypass?: boolean): Promise<void>;
  /** Gives up uploads below the prefix that were begun before that time (by the store's clock) and never finished; returns how many there were. */
  dropUploads(prefix: string, beforeMs: number): Promise<number>;
  /** `modifiedMs`: Unix epoch milliseconds by the store's own clock, in whole seconds with some gateways. */
  list(prefix: string): AsyncIterable<ListedObject>;
  presignGet(key: string, expiresSeconds: number): Promise<string>;
  presignPut(key: string, expiresSeconds: number): Promise<string>;
  /** Object lock, and versions that no listing shows. */
  readonly locks?: ObjectLocks;
  /** Where the store lies on two sites: both, the one that is asked first before the other. */
  readonly sites?: readonly StoreSite[];
  /** Where it lies on two sites: every address by which the object can be read or written, the best first. */
  presignAll?(method: 'get' | 'put', key: string, expiresSeconds: number): Promise<readonly SiteAddress[]>;
  /** Where it lies on two sites: gives each its copy of what somebody has put by an address, and so on one of them only. */
  spread?(ref: Pick<ObjectRef, 'key' | 'sha256' | 'bytes'>): Promise<void>;
};

export type SiteName = 'first' | 'second';
export type SiteAddress = { readonly site: SiteName; readonly url: string };
export type StoreSite = { readonly name: SiteName; readonly endpoint: string; readonly store: ObjectStore };

/** All addresses of an object, the best first: more than one where the store lies on two sites. */
export async function addressesOf(
  store: Pick<ObjectStore, 'presignGet' | 'presignPut' | 'presignAll'>,
  method: 'get' | 'put',
  key: string,
  expiresSeconds: number,
): Promise<{ readonly url: string; readonly otherUrls: readonly string[] }> {
  const { url, otherUrls } = await addressesBySite(store, method, key, expiresSeconds);
  return { url, otherUrls };
}

/** The same, and whose they are, in the order of the addresses; without `sites` where the store has one. */
export async function addressesBySite(
  store: Pick<ObjectStore, 'presignGet' | 'presignPut' | 'presignAll'>,
  method: 'get' | 'put',
  key: string,
  expiresSeconds: number,
): Promise<{ readonly url: string; readonly otherUrls: readonly string[]; readonly sites?: readonly SiteName[] }> {
  const presign = method === 'get' ? store.presignGet : store.presignPut;
  const all = await store.presignAll?.(method, key, expiresSeconds);
  const [url = '', ...otherUrls] = all?.map((one) => one.url) ?? [await presign(key, expiresSeconds)];
  return { url, otherUrls, ...(all ? { sites: all.map(({ site }) => site) } : {}) };
}
