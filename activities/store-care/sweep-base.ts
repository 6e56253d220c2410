import type { SweepReport } from '../../core/store-care.ts';
import { basePrefix, carePrefix } from '../../store/keys.ts';
import { pushedObjects } from '../sharding/base-registry.ts';
import { installedBaseParts } from './installed-base.ts';
import { baseScope } from './leases.ts';
import { liveObjects } from './live-objects.ts';
import { retirable } from './retire-customization.ts';
import type { StoreCareDependencies } from './store-care-activities.ts';
import { listForSweep, sweep } from './sweep.ts';
import { customizationsOf, everyTenant } from './tenants.ts';

/** Removes base objects that no version of any tenant refers to, and no base model consists of that is installed here or was pushed. After all tenants. Key: round. */
export async function sweepBase(
  dependencies: StoreCareDependencies,
  { roundId, dryRun }: { readonly roundId: string; readonly dryRun: boolean },
): Promise<SweepReport> {
  const { pool, store, retention, beat } = dependencies;
  const listed = await listForSweep(store, [basePrefix, carePrefix], { graceMs: retention.graceMs, leaveUploads: dryRun, beat });
  const swept = await sweep(dependencies, { roundId, dryRun }, listed, [baseScope], async (scopes) => {
    const live = new Set<string>();
    const deferred: string[] = [];
    if (scopes.has(baseScope)) {
      for await (const tenantId of everyTenant(pool)) {
        const retired = new Map(
          dryRun
            ? await Promise.all(
                (await customizationsOf(pool, tenantId)).map(
                  async (customizationId) => [customizationId, await retirable(pool, { tenantId, customizationId }, retention)] as const,
                ),
              )
            : [],
        );
        const { objects, unreadable } = await liveObjects(dependencies, tenantId, retired);
        for (const key of objects.keys()) if (key.startsWith(basePrefix)) live.add(key);
        for (const { customizationId, what, number } of unreadable)
          if (what === 'version')
            deferred.push(`base: what version ${number} of ${tenantId}/${customizationId} refers to is not known: nothing is removed`);
      }
      const broken = await installedBaseParts(dependencies, async (key) => await Promise.resolve(void live.add(key)), beat);
      const { keys, underWay } = await pushedObjects(pool);
      for (const key of keys) live.add(key);
      deferred.push(...underWay.map((name) => `base: ${name} is being pushed: nothing is removed`));
      deferred.push(...broken.map((what) => `base: ${what}: nothing is removed`));
    }
    const known = scopes.has(baseScope) && deferred.length === 0;
    return { deferred, keeps: ({ key, place }) => (place.part === 'clock' ? false : !known || live.has(key)) };
  });
  return { ...swept, tenantId: null, versions: [], datasets: 0 };
}
