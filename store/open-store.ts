import type { Config, S3Place } from '../platform/config.ts';
import type { Pool } from '../platform/mysql.ts';
import { createS3Client } from '../platform/s3.ts';
import { type MirroredSite, createMirroredStore } from './mirrored-store.ts';
import type { ObjectStore } from './object-store.ts';
import { createOwedObjects } from './owed-objects.ts';
import { createS3ObjectStore } from './s3-object-store.ts';

/** Where there are two sites, one that is silent or fails is given up soon: the other one answers. */
const impatient = { maxAttempts: 3, silenceMs: 10_000 };
const impatientMs = 30_000;

export const settingsOfSite = { first: 'MW_S3', second: 'MW_S3_SECOND' } as const;

/** The sites of the store, the first before the second. */
export const placesOf = ({ s3, secondS3 }: Pick<Config, 's3' | 'secondS3'>) => [
  { name: 'first' as const, settings: settingsOfSite.first, s3 },
  ...(secondS3 ? [{ name: 'second' as const, settings: settingsOfSite.second, s3: secondS3 }] : []),
];

/** How a sentence about one of several sites begins; empty where there is one. */
export const siteWords = (config: Pick<Config, 'secondS3'>, name: 'first' | 'second'): string =>
  config.secondS3 ? `the ${name} site of the store: ` : '';

const siteStore = (s3: S3Place, settings: string): ObjectStore =>
  createS3ObjectStore(createS3Client({ s3 }, impatient), s3.bucket, { patienceMs: impatientMs, settings });

/** The store that the settings name. `forJobs`: its addresses are those that jobs on the cluster see. */
export function openStore(config: Pick<Config, 's3' | 'secondS3' | 'settings'>, pool: Pool, forJobs = false): ObjectStore {
  const { s3, secondS3, settings } = config;
  const jobs = { first: settings.MW_S3_JOBS_ENDPOINT, second: settings.MW_S3_SECOND_JOBS_ENDPOINT };
  const seen = (place: S3Place, endpoint: string | undefined): S3Place => ({ ...place, endpoint: endpoint ?? place.endpoint });
  if (!secondS3) {
    const place = forJobs ? seen(s3, jobs.first) : s3;
    return createS3ObjectStore(createS3Client({ s3: place }), place.bucket);
  }
  const siteOf = (name: 'first' | 'second', place: S3Place): MirroredSite => ({
    name,
    endpoint: place.endpoint,
    store: siteStore(place, settingsOfSite[name]),
    ...(forJobs ? { addresses: siteStore(seen(place, jobs[name]), settingsOfSite[name]) } : {}),
  });
  return createMirroredStore([siteOf('first', s3), siteOf('second', secondS3)], createOwedObjects(pool));
}
