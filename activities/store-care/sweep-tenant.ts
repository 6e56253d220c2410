import { endedRunStates } from '../../core/run.ts';
import type { SweepReport } from '../../core/store-care.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { keptTenantPrefix, tenantPrefix } from '../../store/keys.ts';
import { type ObjectPart, type ObjectPlace } from '../../store/object-place.ts';
import { datasetsScope, gatesScope, modelsScope } from './leases.ts';
import { liveObjects } from './live-objects.ts';
import { lockPromoted } from './lock-promoted.ts';
import { type Retired, retirable, retireCustomization } from './retire-customization.ts';
import type { StoreCareDependencies } from './store-care-activities.ts';
import { type BeforeRemoval, type Listed, listForSweep, sweep } from './sweep.ts';
import { customizationsOf } from './tenants.ts';

type RunRow = RowDataPacket & { customization_id: string; number: number };
type IdRow = RowDataPacket & { customization_id: string };

/** The scope in which a run could take the object over; null: only its own run uses it. */
function scopeOf({ part, tenantId, customizationId }: ObjectPlace): string | null {
  const scopes: Partial<Record<ObjectPart, string>> = {
    shard: modelsScope(tenantId ?? ''),
    file: modelsScope(tenantId ?? ''),
    bucket: datasetsScope(tenantId ?? '', customizationId ?? ''),
    dataset: datasetsScope(tenantId ?? '', customizationId ?? ''),
    gate: gatesScope(tenantId ?? '', customizationId ?? ''),
  };
  return scopes[part] ?? null;
}

/** What decides about objects of one run, and of one customization. */
async function unendedRuns(pool: Pool, tenantId: string): Promise<{ readonly runs: Set<string>; readonly customizations: Set<string> }> {
  const [runs] = await pool.query<RunRow[]>(
    'SELECT customization_id, number FROM modelwright_control.runs WHERE tenant_id = ? AND state NOT IN (?)',
    [tenantId, endedRunStates],
  );
  const [customizations] = await pool.query<IdRow[]>('SELECT customization_id FROM modelwright.customizations WHERE tenant_id = ?', [
    tenantId,
  ]);
  return {
    runs: new Set(runs.map(({ customization_id, number }) => `${customization_id}/${number}`)),
    customizations: new Set(customizations.map(({ customization_id }) => customization_id)),
  };
}

/** Removes a tenant's garbage: first from the registry what the retention lets go, then every object that nothing refers to. Key: round + tenant. */
export async function sweepTenant(
  dependencies: StoreCareDependencies,
  { tenantId, roundId, dryRun }: { readonly tenantId: string; readonly roundId: string; readonly dryRun: boolean },
): Promise<SweepReport> {
  const { pool, store, retention, beat } = dependencies;
  // What the worker does every minute is also done on record, by a schedule.
  if (!dryRun) await lockPromoted({ pool, store, lockMs: retention.lockMs, beat }, tenantId);
  const listed = await listForSweep(store, [tenantPrefix(tenantId), keptTenantPrefix(tenantId)], {
    graceMs: retention.graceMs,
    leaveUploads: dryRun,
    beat,
  });
  const known = await customizationsOf(pool, tenantId);
  const retired = new Map<string, Retired>();
  for (const customizationId of known) {
    beat();
    const key = { tenantId, customizationId };
    retired.set(customizationId, dryRun ? await retirable(pool, key, retention) : await retireCustomization(pool, key, retention));
  }
  const swept = await sweepObjects(dependencies, { tenantId, roundId, dryRun }, listed, known, dryRun ? retired : new Map());
  return {
    ...swept,
    tenantId,
    versions: [...retired].flatMap(([customizationId, { versions }]) => versions.map((version) => ({ customizationId, version }))),
    datasets: [...retired.values()].reduce((sum, { datasets }) => sum + datasets.length, 0),
  };
}

/** What a sweep for a forgetting does beside: kept embeddings of the customization go, and every object is noted before it goes. */
export type ForgettingSweep = { readonly customizationId: string; readonly beforeRemoval: BeforeRemoval };

/** Removes those of the listed objects of a tenant that nothing refers to. `without`: what is taken as removed from the registry already. */
export async function sweepObjects(
  dependencies: Pick<StoreCareDependencies, 'pool' | 'store' | 'beat'>,
  { tenantId, roundId, dryRun }: { readonly tenantId: string; readonly roundId: string; readonly dryRun: boolean },
  listed: Listed,
  known: readonly string[],
  without: ReadonlyMap<string, Retired>,
  forgetting: ForgettingSweep | null = null,
): Promise<Pick<SweepReport, 'removed' | 'kept' | 'locked' | 'unknown' | 'deferred'>> {
  const { pool } = dependencies;
  // Of a customization that the registry does not know any more, there may be objects all the same.
  const customizations = new Set([...known, ...listed.old.flatMap(({ place }) => place.customizationId ?? [])]);
  const wanted = [modelsScope(tenantId), ...[...customizations].flatMap((id) => [datasetsScope(tenantId, id), gatesScope(tenantId, id)])];
  const live = async (scopes: ReadonlySet<string>) => {
    const { objects, unreadable } = await liveObjects(dependencies, tenantId, without);
    const unended = await unendedRuns(pool, tenantId);
    // What a manifest that cannot be read refers to is not known: nothing of its kind is removed.
    const models = unreadable.some(({ what }) => what === 'version');
    const datasets = new Set(unreadable.filter(({ what }) => what === 'dataset').map(({ customizationId }) => customizationId));
    return {
      deferred: unreadable.map(
        ({ customizationId, what, number, reason }) =>
          `${tenantId}/${customizationId}: what ${what} ${number} refers to is not known (${reason}): its objects are left alone`,
      ),
      keeps: ({ key, place }: { readonly key: string; readonly place: ObjectPlace }) => {
        const { part, customizationId, run } = place;
        if (objects.has(key)) return true;
        if (part === 'staging' || part === 'manifest') return unended.runs.has(`${customizationId}/${run}`);
        if (part === 'embeddings' && customizationId === forgetting?.customizationId) return false;
        if (part === 'embeddings') return unended.customizations.has(customizationId ?? '');
        if (models && (part === 'shard' || part === 'file' || part === 'gate')) return true;
        if (part === 'bucket' && datasets.has(customizationId ?? '')) return true;
        const scope = scopeOf(place);
        return scope === null || !scopes.has(scope);
      },
    };
  };
  return await sweep(dependencies, { roundId, dryRun }, listed, wanted, live, forgetting?.beforeRemoval);
}
