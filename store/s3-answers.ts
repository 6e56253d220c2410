import type { DeleteObjectsCommandOutput, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { StoreUnavailable } from './object-store.ts';

/** The request as a whole succeeds although some of its keys do not: throws unless the answer tells of every key that it is gone. */
export function checkDeleted(keys: readonly string[], { Deleted = [], Errors = [] }: DeleteObjectsCommandOutput): void {
  const refused = Errors.filter(({ Code }) => Code !== 'NoSuchKey');
  const [first] = refused;
  if (first)
    throw new StoreUnavailable(
      `deleting ${first.Key ?? keys[0] ?? ''} failed (${first.Code ?? 'error'}), ${refused.length} of ${keys.length} keys were refused`,
    );
  const told = new Set([...Deleted, ...Errors].map(({ Key }) => Key));
  const untold = keys.find((key) => !told.has(key));
  if (untold !== undefined) throw new StoreUnavailable(`deleting ${untold} failed (the answer does not say that it is gone)`);
}

/** Throws unless the answer is a page of a listing: one that is cut off, or is some other document, parses as one without objects. */
export function checkPage(bucket: string, prefix: string, page: ListObjectsV2CommandOutput): void {
  const { Name, IsTruncated, NextContinuationToken } = page;
  const whole = Name === bucket && IsTruncated !== undefined && (!IsTruncated || NextContinuationToken !== undefined);
  if (!whole) throw new StoreUnavailable(`listing ${prefix} failed (the answer is not a whole page of bucket ${bucket})`);
}
