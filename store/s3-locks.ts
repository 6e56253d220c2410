import {
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectLegalHoldCommand,
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type ObjectVersion,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { nowMs } from '../platform/clock.ts';
import type { HiddenVersion, LockedUntil, ObjectLocks } from './object-locks.ts';
import { StoreUnavailable } from './object-store.ts';
import { checkVersions, deniedOf } from './s3-answers.ts';
import { isMissing, statusOf } from './store-failure.ts';

type Failed = (what: string, key: string, error: unknown) => Error;
/** One version of a key; where a bucket keeps none, the object. */
export type Target = { readonly Key: string; readonly VersionId?: string };

/** Objects that are asked or locked at a time. */
const atOnce = 16;
const isDenied = (error: unknown): boolean => statusOf(error) === 403;
/** Answers of gateways that do not know the request, or of keys that may not ask. */
const cannotSay = [400, 403, 405, 501];

/** Whether a plain DELETE only hides bytes. A key that may not ask is told no: what a deletion answers is looked at too. */
export async function keepsVersions(client: S3Client, bucket: string): Promise<boolean> {
  try {
    const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: bucket }));
    // Suspended: what was kept before is kept still, and each deletion leaves a marker.
    return Status !== undefined;
  } catch (error) {
    if (cannotSay.includes(statusOf(error))) return false;
    throw error;
  }
}

/** Whether objects of the bucket can be locked; `byDefault`: each one is when it is stored, whatever it is. */
export async function lockOfBucket(client: S3Client, bucket: string): Promise<{ readonly enabled: boolean; readonly byDefault: boolean }> {
  try {
    const { ObjectLockConfiguration: found } = await client.send(new GetObjectLockConfigurationCommand({ Bucket: bucket }));
    return { enabled: found?.ObjectLockEnabled === 'Enabled', byDefault: found?.Rule?.DefaultRetention?.Mode !== undefined };
  } catch (error) {
    if (statusOf(error) === 404 || cannotSay.includes(statusOf(error))) return { enabled: false, byDefault: false };
    throw error;
  }
}

/** Every version of a key, its delete markers last: without its marker an older version would show again. */
export async function versionsOf(client: S3Client, bucket: string, key: string): Promise<Target[]> {
  const versions: Target[] = [];
  const markers: Target[] = [];
  let KeyMarker: string | undefined;
  let VersionIdMarker: string | undefined;
  do {
    const asked = new ListObjectVersionsCommand({ Bucket: bucket, Prefix: key, KeyMarker, VersionIdMarker });
    const page: ListObjectVersionsCommandOutput = await client.send(asked);
    checkVersions(bucket, key, page);
    const ours = (found: readonly Pick<ObjectVersion, 'Key' | 'VersionId'>[] = []): Target[] =>
      found.flatMap(({ Key, VersionId }) => (Key === key && VersionId !== undefined ? [{ Key, VersionId }] : []));
    versions.push(...ours(page.Versions));
    markers.push(...ours(page.DeleteMarkers));
    // Keys that begin with this one come after it.
    const last = page.IsTruncated ? page.NextKeyMarker : undefined;
    [KeyMarker, VersionIdMarker] = last === key ? [last, page.NextVersionIdMarker] : [undefined, undefined];
  } while (KeyMarker !== undefined);
  return [...versions, ...markers];
}

type Lock = { readonly [K in 'ObjectLockRetainUntilDate' | 'ObjectLockLegalHoldStatus']?: HeadObjectCommandOutput[K] | undefined };

const heldBy = ({ ObjectLockRetainUntilDate: until, ObjectLockLegalHoldStatus: hold }: Lock): number | null | undefined => {
  if (hold === 'ON') return null;
  const endMs = until?.getTime() ?? 0;
  return endMs > nowMs() ? endMs : undefined;
};

/** Until when this one is locked; undefined: it is not, or is not there. */
export async function lockOf(client: S3Client, bucket: string, target: Target): Promise<number | null | undefined> {
  try {
    const held = heldBy(await client.send(new HeadObjectCommand({ Bucket: bucket, ...target })));
    return held === undefined && target.VersionId !== undefined ? await lockOfOlder(client, bucket, target) : held;
  } catch (error) {
    // A delete marker has no head (405).
    if (isMissing(error) || statusOf(error) === 405) return undefined;
    throw error;
  }
}

/** The light S3 server tells of an older version's lock only if that is asked for by name. */
async function lockOfOlder(client: S3Client, bucket: string, target: Target): Promise<number | null | undefined> {
  const answered = async <T>(asked: Promise<T>): Promise<T | null> => {
    try {
      return await asked;
    } catch (error) {
      // Gateways say in many ways that there is no lock.
      if (statusOf(error) >= 400 && statusOf(error) < 500) return null;
      throw error;
    }
  };
  const hold = await answered(client.send(new GetObjectLegalHoldCommand({ Bucket: bucket, ...target })));
  const found = await answered(client.send(new GetObjectRetentionCommand({ Bucket: bucket, ...target })));
  return heldBy({ ObjectLockRetainUntilDate: found?.Retention?.RetainUntilDate, ObjectLockLegalHoldStatus: hold?.LegalHold?.Status });
}

export async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, one));
}

export function createS3Locks(client: S3Client, bucket: string, failed: Failed): ObjectLocks {
  const lockOne = async (key: string, untilMs: number): Promise<void> => {
    const at = { Bucket: bucket, Key: key };
    const isLong = async (): Promise<boolean> => {
      const { ObjectLockRetainUntilDate: until } = await client.send(new HeadObjectCommand(at));
      return (until?.getTime() ?? 0) >= untilMs;
    };
    try {
      if (await isLong()) return;
      await client.send(new PutObjectRetentionCommand({ ...at, Retention: { Mode: 'GOVERNANCE', RetainUntilDate: new Date(untilMs) } }));
    } catch (error) {
      // The gateway shortens none: somebody else has locked it for longer meanwhile.
      if (isDenied(error) && (await isLong().catch(() => false))) return;
      throw failed('locking', key, error);
    }
  };
  return {
    lock: async (keys, untilMs) => {
      // Some gateways tell whole seconds: by those it is seen that nothing is left to do.
      const wholeMs = Math.ceil(untilMs / 1_000) * 1_000;
      await each(keys, (key) => lockOne(key, wholeMs));
    },
    locked: async (keys): Promise<LockedUntil> => {
      const locked = new Map<string, number | null>();
      try {
        if (keys.length === 0 || !(await lockOfBucket(client, bucket)).enabled) return locked;
        await each(keys, async (Key) => {
          const until = await lockOf(client, bucket, { Key });
          if (until !== undefined) locked.set(Key, until);
        });
      } catch (error) {
        throw failed('looking for locks of', keys[0] ?? '', error);
      }
      return locked;
    },
    async *hidden(prefix): AsyncGenerator<HiddenVersion> {
      try {
        if (!(await keepsVersions(client, bucket))) return;
        let marks: { readonly KeyMarker: string; readonly VersionIdMarker: string | undefined } | null | undefined;
        while (marks !== null) {
          const asked = new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix, ...marks });
          const page: ListObjectVersionsCommandOutput = await client.send(asked);
          checkVersions(bucket, prefix, page);
          const markers = (page.DeleteMarkers ?? []).map((marker) => ({ ...marker, Size: 0 }));
          for (const { Key, VersionId, Size, LastModified } of [
            ...(page.Versions ?? []).filter(({ IsLatest }) => IsLatest !== true),
            ...markers,
          ])
            if (Key !== undefined && VersionId !== undefined)
              yield { key: Key, versionId: VersionId, bytes: Size ?? 0, modifiedMs: LastModified?.getTime() ?? Number.POSITIVE_INFINITY };
          const next: string | undefined = page.IsTruncated === true ? page.NextKeyMarker : undefined;
          marks = next === undefined ? null : { KeyMarker: next, VersionIdMarker: page.NextVersionIdMarker };
        }
      } catch (error) {
        throw failed('listing versions below', prefix, error);
      }
    },
    lockedHidden: async (versions) => {
      const locked = new Map<HiddenVersion, number | null>();
      try {
        if (versions.length === 0 || !(await lockOfBucket(client, bucket)).enabled) return locked;
        await each(versions, async (version) => {
          const until = await lockOf(client, bucket, { Key: version.key, VersionId: version.versionId });
          if (until !== undefined) locked.set(version, until);
        });
      } catch (error) {
        throw failed('looking for locks of versions of', versions[0]?.key ?? '', error);
      }
      return locked;
    },
    dropHidden: async (versions, signal) => {
      if (versions.length === 0) return;
      try {
        const Objects = versions.map(({ key: Key, versionId: VersionId }) => ({ Key, VersionId }));
        const command = new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } });
        const [denied] = deniedOf(Objects, await client.send(command, signal ? { abortSignal: signal } : {}));
        if (denied)
          throw new StoreUnavailable(
            `deleting an older version of ${denied.Key} failed (AccessDenied): the key needs the right to delete versions (s3:DeleteObjectVersion)`,
          );
      } catch (error) {
        throw failed('deleting versions of', versions[0]?.key ?? '', error);
      }
    },
  };
}
