import { describe, expect, it } from 'vitest';
import { ObjectMissing, StoreUnavailable } from './object-store.ts';
import { storeFailure } from './store-failure.ts';

/** As the client of S3 throws them. */
const answered = (name: string, httpStatusCode: number): Error =>
  Object.assign(new Error('of S3'), { name, $metadata: { httpStatusCode, attempts: 1 } });

describe('an error of the store', () => {
  it.each([
    ['RequestTimeTooSkewed', 403, /clock and this machine's differ .*: set both by NTP; `mw doctor` says by how much/],
    ['AccessDenied', 403, /the key in MW_S3_ACCESS_KEY may not do this in bucket models/],
    ['SignatureDoesNotMatch', 403, /its secret is wrong/],
    ['NoSuchBucket', 404, /bucket models does not exist \(MW_S3_BUCKET\)/],
    ['QuotaExceeded', 403, /no room left, or the quota/],
    ['RequestTimeout', 408, /did not take it in time/],
    ['InternalError', 500, /InternalError, status 500/],
  ])('%s (%i) is said in a sentence that names what to look at', (name, status, said) => {
    const failure = storeFailure('storing', 'a/key', 'models', answered(name, status));
    expect(failure).toBeInstanceOf(StoreUnavailable);
    expect(failure.message).toMatch(said);
    expect(failure.message).toMatch(/^storing a\/key failed: /);
  });

  it('of an object that is not there is one of its own', () => {
    expect(storeFailure('reading', 'a/key', 'models', answered('NoSuchKey', 404))).toBeInstanceOf(ObjectMissing);
  });
});
