import type { StoreCareActivities } from '../../activities/ports.ts';
import { type ScrubPart, type SweepReport, noKinds, nothing } from '../../core/store-care.ts';
import type { FakePlatform } from './fake-platform.ts';

/** The care for a store in which each of some tenants has one object that nothing refers to, and one that is damaged. */
export function fakeStoreCare(platform: FakePlatform): StoreCareActivities {
  const tenants = ['acme', 'beta', 'gamma'];
  const swept = (tenantId: string | null): SweepReport => ({
    tenantId,
    removed: { ...noKinds(), [tenantId === null ? 'base' : 'models']: { objects: 1, bytes: 10 } },
    kept: { objects: 2, bytes: 20 },
    unknown: nothing,
    versions: tenantId === null ? [] : [{ customizationId: 'c', version: 1 }],
    datasets: 1,
    deferred: [],
  });
  const part: ScrubPart = { objects: 3, bytes: 30, damaged: 1, missing: 0, repaired: 1, open: [] };
  return {
    beginStoreRound: async ({ kind, everything }) => {
      platform.calls.push(`begin ${kind}`);
      await platform.onActivity('beginStoreRound');
      return { share: kind === 'scrub' && !everything ? { index: 2, of: 7 } : null };
    },
    endStoreRound: async ({ report }) => void platform.calls.push(`end ${JSON.stringify(report).length > 0}`),
    listStoreTenants: async ({ after, limit }) => tenants.filter((id) => id > after).slice(0, limit),
    sweepTenant: async ({ tenantId, dryRun }) => {
      await platform.onActivity(`sweepTenant ${tenantId}`);
      platform.calls.push(`sweep ${tenantId} ${dryRun}`);
      return swept(tenantId);
    },
    sweepBase: async () => {
      platform.calls.push('sweep base');
      return swept(null);
    },
    scrubBase: async ({ share }) => {
      platform.calls.push(`read base ${share?.index ?? 'all'}`);
      return part;
    },
    scrubTenant: async ({ tenantId, share }) => {
      await platform.onActivity(`scrubTenant ${tenantId}`);
      platform.calls.push(`read ${tenantId} ${share?.index ?? 'all'}`);
      return part;
    },
  };
}
