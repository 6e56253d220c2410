import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { type Config, ConfigError, type S3Place } from '../platform/config.ts';

/** S3's rules for names of buckets; a class is a word that the gateway knows. */
const bucket = z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'is no name of a bucket');
const storageClass = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'is no name of a storage class');
const sitePlacement = z.strictObject({ bucket: bucket.optional(), storageClass: storageClass.optional() });
const placementSchema = sitePlacement
  .extend({ second: sitePlacement.optional() })
  .refine(({ bucket: own, storageClass: kind }) => own !== undefined || kind !== undefined, 'names neither a bucket nor a storageClass');
const nameOfPlacement = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/, 'is no name of a placement (lower-case letters, digits and -, at most 32)')
  .refine((name) => name !== 'default', 'is what tenants without a placement have: choose another name');

/** Where objects of a tenant lie: what is not named is the store's own. `second`: what differs on the second site. */
export type Placement = z.infer<typeof placementSchema>;
export type Placements = ReadonlyMap<string, Placement>;

/** A file of placements that cannot be used: names the file, the placement and the field. */
export class WrongPlacements extends ConfigError {
  override name = 'WrongPlacements';
}

/** The placements that the settings name; none without MW_PLACEMENTS. Throws WrongPlacements. */
export function loadPlacements({ s3, secondS3, settings }: Pick<Config, 's3' | 'secondS3' | 'settings'>): Placements {
  const file = settings.MW_PLACEMENTS;
  if (file === undefined) return new Map();
  let raw: unknown;
  try {
    raw = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new WrongPlacements(`MW_PLACEMENTS: ${file} cannot be read as JSON (${error instanceof Error ? error.message : 'error'})`, {
      cause: error,
    });
  }
  const placements = parsePlacements(raw, `MW_PLACEMENTS: ${file}`);
  if (secondS3) mustKeepSitesApart(placements, s3, secondS3, `MW_PLACEMENTS: ${file}`);
  return placements;
}

export function parsePlacements(raw: unknown, from: string): Placements {
  const parsed = z.record(nameOfPlacement, placementSchema).safeParse(raw);
  if (parsed.success) return new Map(Object.entries(parsed.data));
  const said = parsed.error.issues.map((issue) => {
    // Of a name that is wrong, zod says why one level deeper.
    const messages = issue.code === 'invalid_key' ? issue.issues.map(({ message }) => message).join(', ') : issue.message;
    return issue.path.length === 0 ? messages : `${issue.path.join('.')}: ${messages}`;
  });
  throw new WrongPlacements(`${from}: ${said.join('; ')}`);
}

/** The place on a site that a placement means; null: that of tenants without one. */
export function placeOn(site: 'first' | 'second', place: S3Place, placement: Placement | null): S3Place {
  if (placement === null) return place;
  const { second, ...own } = placement;
  const named = site === 'second' ? { ...own, ...second } : own;
  // STANDARD is what an object gets of which nothing is said, on every gateway.
  const kind = named.storageClass === 'STANDARD' ? undefined : named.storageClass;
  return { ...place, bucket: named.bucket ?? place.bucket, ...(kind === undefined ? {} : { storageClass: kind }) };
}

/** One bucket for both sites would be no second copy, and what one site removes would be gone on the other. */
function mustKeepSitesApart(placements: Placements, first: S3Place, second: S3Place, from: string): void {
  if (new URL(first.endpoint).href !== new URL(second.endpoint).href) return;
  const all: readonly (readonly [string, Placement | null])[] = [['default', null], ...placements];
  const firsts = new Set(all.map(([, placement]) => placeOn('first', first, placement).bucket));
  for (const [name, placement] of all) {
    const there = placeOn('second', second, placement).bucket;
    if (firsts.has(there))
      throw new WrongPlacements(
        `${from}: ${name}: both sites are on ${first.endpoint}, and bucket ${there} is one of the first: name another by second.bucket`,
      );
  }
}
