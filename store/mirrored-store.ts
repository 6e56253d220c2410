import { buffer } from 'node:stream/consumers';
import { sha256Hex } from '../platform/hash.ts';
import { mirroredLocks } from './mirrored-locks.ts';
import {
  type ByteSource,
  ObjectMissing,
  type ObjectStore,
  type PutResult,
  type SiteAddress,
  type StoreSite,
  StoreUnavailable,
} from './object-store.ts';
import type { OwedObjects } from './owed-objects.ts';
import { followed, listEither } from './two-site-streams.ts';
import { type SiteProblem, TwoSites, worstOf } from './two-sites.ts';

type Addresses = Pick<ObjectStore, 'presignGet' | 'presignPut'>;
/** `addresses`: the same bucket at the address at which those see it who are given addresses (default: as we see it). */
export type MirroredSite = StoreSite & { readonly addresses?: Addresses };

/**
 * One store on two sites: everything is written to both, and read from the one that has it right. It works with one site; what the other one misses
 * meanwhile is put on record and made good later. The first decides who wins a free key while it answers.
 */
export function createMirroredStore(places: readonly [MirroredSite, MirroredSite], owed: OwedObjects): ObjectStore {
  const sites = new TwoSites(places, owed);
  const [first, second] = sites.sites;
  const { bucket } = first.store;

  const sizeAt = (site: StoreSite, key: string): Promise<number | null> => sites.ask(site, (store) => store.size(key));
  const size = async (key: string): Promise<number | null> => {
    try {
      return await sites.either(
        key,
        async (store) => {
          const found = await store.size(key);
          if (found === null) throw new ObjectMissing(`${key} does not exist in bucket ${store.bucket}`);
          return found;
        },
        false,
      );
    } catch (error) {
      if (error instanceof ObjectMissing) return null;
      throw error;
    }
  };

  /** What the second site took while the first was away is the first's too. Returns whether there was something. */
  const takeOver = async (key: string): Promise<boolean> => {
    if (sites.health.isAway(second)) return false;
    const theirs = await sizeAt(second, key).catch(() => null);
    if (theirs === null || (await sizeAt(first, key)) !== null) return false;
    await copyNew(second, first, key);
    return true;
  };
  const copyNew = async (from: StoreSite, to: StoreSite, key: string): Promise<void> => {
    const bytes = await sites.ask(from, async (store) => await buffer(await store.stream(key)));
    await sites.ask(to, (store) => store.putNew(key, bytes));
  };
  /** What one site has decided is the other's too. */
  const follow = async (decided: StoreSite, key: string, ours: Uint8Array | null): Promise<void> => {
    const late = sites.other(decided);
    try {
      if (sites.health.isAway(late)) throw new StoreUnavailable('it did not answer a moment ago');
      if (ours === null) {
        if ((await sizeAt(late, key)) === null) await copyNew(decided, late, key);
      } else if (!(await sites.ask(late, (store) => store.putNew(key, ours))).created)
        await sites.ask(late, (store) => store.replace(key, ours));
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      await owed.note(late, [key], 'copy', error.message);
    }
  };
  const putNew = async (key: string, bytes: Uint8Array): Promise<PutResult> => {
    const ref = { bucket, key, sha256: sha256Hex(bytes), bytes: bytes.byteLength };
    const problems: SiteProblem[] = [];
    for (const site of sites.health.order(sites.sites, key)) {
      let created: boolean;
      try {
        created = !(site === first && (await takeOver(key))) && (await sites.ask(site, (store) => store.putNew(key, bytes))).created;
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        problems.push({ site, error });
        continue;
      }
      await follow(site, key, created ? bytes : null);
      return { ref, created };
    }
    throw worstOf(problems);
  };

  const putContentStream = async (key: string, source: ByteSource): Promise<PutResult> => {
    let failed: { readonly reason: unknown } | null = null;
    const note = (reason: unknown): void => void (failed ??= { reason });
    const open: ByteSource['open'] = async () => {
      try {
        const body = await source.open();
        body.once('error', note);
        return body;
      } catch (error) {
        note(error);
        throw error;
      }
    };
    try {
      const put = await sites.both([key], async (store) => {
        try {
          return await store.putContentStream(key, { ...source, open });
        } catch (error) {
          // What the source could not give is no site's fault.
          throw failed === null ? error : new SourceGone('the source failed', { cause: failed.reason });
        }
      });
      return { ...put, ref: { ...put.ref, bucket } };
    } catch (error) {
      throw error instanceof SourceGone ? error.cause : error;
    }
  };

  const presignAll = async (method: 'get' | 'put', key: string, expiresSeconds: number): Promise<SiteAddress[]> => {
    const ranked = await Promise.all(
      places.map(async (site) => {
        const presign = method === 'get' ? 'presignGet' : 'presignPut';
        const url = await (site.addresses ?? site.store)[presign](key, expiresSeconds);
        const address = { site: site.name, url };
        if (sites.health.isAway(site)) return { address, rank: 2 };
        const there = await sizeAt(site, key).catch(() => undefined);
        return { address, rank: there === undefined ? 2 : there === null && method === 'get' ? 1 : 0 };
      }),
    );
    return ranked.sort((a, b) => a.rank - b.rank).map(({ address }) => address);
  };

  return {
    bucket,
    sites: sites.sites,
    locks: mirroredLocks(sites),
    size,
    read: (ref) => sites.either(ref.key, (store) => store.read(ref), true),
    stream: (key) => sites.either(key, async (store, site) => followed(sites, site, await store.stream(key), key), false),
    streamPart: (key, from, bytes) => sites.either(key, (store) => store.streamPart(key, from, bytes), false),
    putContent: async (key, bytes, sha256) => {
      const put = await sites.both([key], (store) => store.putContent(key, bytes, sha256));
      return { ...put, ref: { ...put.ref, bucket } };
    },
    putContentStream,
    putNew,
    replace: (key, bytes) => sites.both([key], (store) => store.replace(key, bytes)),
    delete: async (keys, signal, bypass) => {
      await sites
        .both(
          keys,
          async (store) => {
            try {
              await store.delete(keys, signal, bypass);
            } catch (error) {
              // Called off, and nobody's fault.
              throw signal?.aborted === true ? new CalledOff('called off', { cause: error }) : error;
            }
          },
          'removal',
        )
        .catch((error: unknown) => {
          throw error instanceof CalledOff ? error.cause : error;
        });
    },
    dropUploads: async (prefix, beforeMs) => {
      let dropped = 0;
      for (const site of sites.sites)
        try {
          dropped += await sites.ask(site, (store) => store.dropUploads(prefix, beforeMs));
        } catch (error) {
          // Of a site that is away, the next collection drops them.
          if (!(error instanceof StoreUnavailable)) throw error;
        }
      return dropped;
    },
    list: (prefix) => listEither(sites, prefix),
    presignAll,
    presignGet: async (key, seconds) => (await presignAll('get', key, seconds))[0]?.url ?? '',
    presignPut: async (key, seconds) => (await presignAll('put', key, seconds))[0]?.url ?? '',
    spread: async ({ key, sha256, bytes }) => {
      await sites.both([key], async (store, site) => {
        if ((await store.size(key)) !== null) return;
        await store.putContentStream(key, { sha256, bytes, open: () => sites.other(site).store.stream(key) });
      });
    },
  };
}

class SourceGone extends Error {}
class CalledOff extends Error {}
