import { describe, expect, it } from 'vitest';
import { parseSettings } from '../platform/config.ts';
import { openStore, placesOf, siteWords } from './open-store.ts';

/** Nobody listens there: addresses are signed all the same. */
const place = (port: number, bucket: string) => ({
  endpoint: `http://127.0.0.1:${port}`,
  region: 'us-east-1',
  bucket,
  accessKey: 'key',
  secretKey: 'secret',
});
const config = (jobs: Record<string, string> = {}) => ({
  s3: place(1, 'one'),
  secondS3: place(2, 'two'),
  settings: parseSettings({ ...jobs }),
});
const jobs = { MW_S3_JOBS_ENDPOINT: 'http://first.jobs:9000', MW_S3_SECOND_JOBS_ENDPOINT: 'http://second.jobs:9000' };
const addresses = async (given: ReturnType<typeof config>, forJobs: boolean): Promise<string[]> => {
  const urls = (await openStore(given, null as never, forJobs).presignAll?.('get', 'a/key', 60)) ?? [];
  return urls.map(({ url }) => `${new URL(url).origin}${new URL(url).pathname}`).sort();
};

describe('the store that the settings name', () => {
  it('has addresses for jobs on both sites as jobs see them, and for others as the settings say', async () => {
    expect(await addresses(config(jobs), true)).toEqual(['http://first.jobs:9000/one/a/key', 'http://second.jobs:9000/two/a/key']);
    expect(await addresses(config(jobs), false)).toEqual(['http://127.0.0.1:1/one/a/key', 'http://127.0.0.1:2/two/a/key']);
    expect(await addresses(config({ MW_S3_SECOND_JOBS_ENDPOINT: jobs.MW_S3_SECOND_JOBS_ENDPOINT }), true)).toEqual([
      'http://127.0.0.1:1/one/a/key',
      'http://second.jobs:9000/two/a/key',
    ]);
  }, 60_000);

  it('names its sites where there are two', () => {
    const given = config();
    expect(placesOf(given).map(({ name, settings }) => [name, settings])).toEqual([
      ['first', 'MW_S3'],
      ['second', 'MW_S3_SECOND'],
    ]);
    expect(siteWords(given, 'second')).toBe('the second site of the store: ');
    expect(siteWords({ secondS3: null }, 'first')).toBe('');
  });
});
