import { ObjectMissing, StoreUnavailable } from './object-store.ts';

/** Names of errors of S3 that say that there is no room, whatever their status. */
const fullNames = new Set(['InsufficientCapacity', 'InsufficientStorage', 'QuotaExceeded', 'XMinioStorageFull', 'EntityTooLargeForQuota']);
const fullStatus = 507;
const deniedStatus = 403;
/** Ceph's gateway answers so when its cluster did not take an operation in time. */
const timeoutStatus = 408;

type Answered = { readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number } } | null;
export const statusOf = (error: unknown): number => (error as Answered)?.$metadata?.httpStatusCode ?? 0;
/** How often the client has sent the request. */
export const attemptsOf = (error: unknown): number => (error as Answered)?.$metadata?.attempts ?? 1;
const nameOf = (error: unknown): string => (error instanceof Error ? error.name : 'error');

export const isMissing = (error: unknown): boolean =>
  nameOf(error) !== 'NoSuchBucket' && (statusOf(error) === 404 || nameOf(error) === 'NoSuchKey');

/** What an error of S3 means, in a sentence for whoever runs the store. `what` is as in "storing"; `settings`: how those of this store begin. */
export function storeFailure(what: string, key: string, bucket: string, error: unknown, settings = 'MW_S3'): Error {
  if (isMissing(error)) return new ObjectMissing(`${key} does not exist in bucket ${bucket}`, { cause: error });
  return new StoreUnavailable(`${what} ${key} failed: ${reasonOf(bucket, error, settings)}`, { cause: error });
}

function reasonOf(bucket: string, error: unknown, settings: string): string {
  const name = nameOf(error);
  const status = statusOf(error);
  const said = `${name}, status ${status}`;
  if (name === 'NoSuchBucket') return `bucket ${bucket} does not exist (${settings}_BUCKET)`;
  if (status === fullStatus || fullNames.has(name)) {
    return `the store has no room left, or the quota of its user or bucket is used up (${said}): give it space, nothing stored is lost`;
  }
  if (status === timeoutStatus || name === 'AbortError' || name === 'TimeoutError') {
    return (
      `the store did not take it in time (${said}). Ceph waits like this while a pool is full or too few OSDs are up: see \`ceph health detail\`. ` +
      'It goes on when there is space; nothing stored is lost'
    );
  }
  if (name === 'RequestTimeTooSkewed') {
    return `the store's clock and this machine's differ by more than it takes (${said}): set both by NTP; \`mw doctor\` says by how much`;
  }
  if (status === deniedStatus) {
    return `the store refused it (${said}): the key in ${settings}_ACCESS_KEY may not do this in bucket ${bucket}, or its secret is wrong`;
  }
  return said;
}
