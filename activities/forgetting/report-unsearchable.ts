import type { Pool } from '../../platform/mysql.ts';
import type { ObjectStore, SiteName } from '../../store/object-store.ts';
import { createOwedObjects } from '../../store/owed-objects.ts';
import { recordDamage } from '../store-care/damages.ts';

/** An object in which nobody can search. `isLive`: the registry refers to it. `sha256`: what it should be, null where nothing says so. */
export type Unsearchable = {
  readonly key: string;
  readonly sha256: string | null;
  readonly isLive: boolean;
  /** Null: the store has one site. */
  readonly siteName: SiteName | null;
  readonly why: 'other-bytes' | 'not-unpacked';
};

const sentences = {
  'other-bytes': 'does not have the bytes it should have',
  'not-unpacked': 'is no whole zstd file',
} as const;

/**
 * Puts it on record, so that it is mended soon: from the other site within a minute, else by the next scrub, whatever its share. Returns why there is no
 * certificate. Key: object, site.
 */
export async function reportUnsearchable(
  { pool, store }: { readonly pool: Pool; readonly store: Pick<ObjectStore, 'sites'> },
  tenantId: string,
  { key, sha256, isLive, siteName, why }: Unsearchable,
): Promise<string> {
  const site = store.sites?.find(({ name }) => name === siteName);
  const said = `${key}${site ? ` on the ${site.name} site of the store` : ''} ${sentences[why]}: nobody can say that no text was in it`;
  if (!isLive || sha256 === null)
    return `${said}. Nothing of the registry refers to it: the garbage collection (\`./mw store gc\`) removes it if it is of the platform, else remove it`;
  if (site) await createOwedObjects(pool).note(site, [key], 'copy', `${key} ${sentences[why]}`);
  else await recordDamage(pool, tenantId, { key, sha256, what: 'damaged' }, null);
  return `${said}. \`./mw store scrub\` mends it from a copy; where there is none, put it back from a backup, or train anew and let the old version go`;
}
