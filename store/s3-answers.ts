import type { DeleteObjectsCommandOutput, ListObjectVersionsCommandOutput, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { StoreUnavailable } from './object-store.ts';

type Target = { readonly Key: string; readonly VersionId?: string };

const goneCodes: readonly (string | undefined)[] = ['NoSuchKey', 'NoSuchVersion'];

/**
 * The request as a whole succeeds although some of its keys do not: throws unless the answer tells of every key that it is gone, or that it may not go,
 * as object lock or missing rights have it; those are returned. Throws too where bytes were only hidden.
 */
export function deniedOf(targets: readonly Target[], { Deleted = [], Errors = [] }: DeleteObjectsCommandOutput): Target[] {
  const refused = Errors.filter(({ Code }) => !goneCodes.includes(Code) && Code !== 'AccessDenied');
  const [first] = refused;
  if (first)
    throw new StoreUnavailable(
      `deleting ${first.Key ?? targets[0]?.Key ?? ''} failed (${first.Code ?? 'error'}), ${refused.length} of ${targets.length} keys were refused`,
    );
  const told = new Set([...Deleted, ...Errors].map(({ Key }) => Key));
  const untold = targets.find(({ Key }) => !told.has(Key));
  if (untold !== undefined) throw new StoreUnavailable(`deleting ${untold.Key} failed (the answer does not say that it is gone)`);
  const hidden = Deleted.find(({ DeleteMarker, VersionId }) => DeleteMarker === true && VersionId === undefined);
  if (hidden)
    throw new StoreUnavailable(
      `deleting ${hidden.Key} only hid it: the bucket keeps versions, and the key may not ask for that (s3:GetBucketVersioning)`,
    );
  const denied = Errors.filter(({ Code }) => Code === 'AccessDenied');
  return targets.filter(({ Key, VersionId }) =>
    denied.some((one) => one.Key === Key && (VersionId === undefined || one.VersionId === VersionId)),
  );
}
/** Throws unless the answer is a page of a listing: one that is cut off, or is some other document, parses as one without objects. */
export function checkPage(bucket: string, prefix: string, page: ListObjectsV2CommandOutput): void {
  const { Name, IsTruncated, NextContinuationToken } = page;
  const whole = Name === bucket && IsTruncated !== undefined && (!IsTruncated || NextContinuationToken !== undefined);
  if (!whole) throw new StoreUnavailable(`listing ${prefix} failed (the answer is not a whole page of bucket ${bucket})`);
}

/** The same of a listing of versions. */
export function checkVersions(bucket: string, prefix: string, page: ListObjectVersionsCommandOutput): void {
  const { Name, IsTruncated, NextKeyMarker } = page;
  const whole = Name === bucket && IsTruncated !== undefined && (!IsTruncated || NextKeyMarker !== undefined);
  if (!whole) throw new StoreUnavailable(`listing versions below ${prefix} failed (the answer is not a whole page of bucket ${bucket})`);
}
