import type { Config, S3Place } from '../platform/config.ts';
import type { Pool } from '../platform/mysql.ts';
import { createS3Client } from '../platform/s3.ts';
import { type MirroredSite, createMirroredStore } from './mirrored-store.ts';
import type { ObjectStore } from './object-store.ts';
import { createOwedObjects } from './owed-objects.ts';
import { createPlacedStore } from './placed-store.ts';
import { type Placements, loadPlacements, placeOn } from './placements.ts';
import { createS3ObjectStore } from './s3-object-store.ts';
import { createTenantPlacements } from './tenant-placements.ts';

/** Where there are two sites, one that is silent or fails is given up soon: the other one answers. */
const impatient = { maxAttempts: 3, silenceMs: 10_000 };
const impatientMs = 30_000;

export const settingsOfSite = { first: 'MW_S3', second: 'MW_S3_SECOND' } as const;

type Settings = Pick<Config, 's3' | 'secondS3' | 'settings'>;

/** The sites of the store, the first before the second. */
const sitesOf = ({ s3, secondS3 }: Pick<Config, 's3' | 'secondS3'>) => [
  { name: 'first' as const, settings: settingsOfSite.first, s3 },
  ...(secondS3 ? [{ name: 'second' as const, settings: settingsOfSite.second, s3: secondS3 }] : []),
];

/** How a sentence about one of several sites begins; empty where there is one. */
export const siteWords = (config: Pick<Config, 'secondS3'>, name: 'first' | 'second'): string =>
  config.secondS3 ? `the ${name} site of the store: ` : '';

/** Every place in which objects may be: of each site the default and then, by name, those of MW_PLACEMENTS. Throws WrongPlacements. */
export const placesOf = (config: Settings) => {
  const placements: readonly (readonly [string | null, Parameters<typeof placeOn>[2]])[] = [[null, null], ...loadPlacements(config)];
  return sitesOf(config).flatMap(({ s3, ...site }) =>
    placements.map(([placement, named]) => ({ ...site, placement, s3: placeOn(site.name, s3, named) })),
  );
};

type Patience = { readonly client?: Parameters<typeof createS3Client>[1]; readonly store?: Parameters<typeof createS3ObjectStore>[2] };

/** The store that the settings name. `forJobs`: its addresses are those that jobs on the cluster see. */
export function openStore(config: Settings, pool: Pool, forJobs = false): ObjectStore {
  const { s3, secondS3, settings } = config;
  const placements: Placements = loadPlacements(config);
  const tenants = createTenantPlacements(pool, placements);
  const jobs = { first: settings.MW_S3_JOBS_ENDPOINT, second: settings.MW_S3_SECOND_JOBS_ENDPOINT };
  const seen = (place: S3Place, endpoint: string | undefined): S3Place => ({ ...place, endpoint: endpoint ?? place.endpoint });
  /** All placements on a site. */
  const placed = (site: 'first' | 'second', place: S3Place, { client, store }: Patience = {}): ObjectStore => {
    const open = (at: S3Place): ObjectStore =>
      createS3ObjectStore(createS3Client({ s3: at }, client), at.bucket, { ...store, settings: settingsOfSite[site] });
    const named = [...placements].map(([name, placement]) => [name, open(placeOn(site, place, placement))] as const);
    return createPlacedStore(open(place), new Map(named), tenants);
  };
  if (!secondS3) return placed('first', forJobs ? seen(s3, jobs.first) : s3);
  const quick: Patience = { client: impatient, store: { patienceMs: impatientMs } };
  const siteOf = (name: 'first' | 'second', place: S3Place): MirroredSite => ({
    name,
    endpoint: place.endpoint,
    store: placed(name, place, quick),
    ...(forJobs ? { addresses: placed(name, seen(place, jobs[name]), quick) } : {}),
  });
  return createMirroredStore([siteOf('first', s3), siteOf('second', secondS3)], createOwedObjects(pool));
}
