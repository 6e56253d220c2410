import { Gauge, Histogram, type Registry } from 'prom-client';
import { type LagState, changedSince, measureLag } from '../activities/registry/lag-states.ts';
import { noteLearnedCommits } from '../activities/registry/learned-commits.ts';
import { nowMs, sleep } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Pool } from '../platform/mysql.ts';

const intervalMs = 5_000;
/** A measurement that takes long, because very much waits, is made more seldom: at most this share of the time. */
const atMostShare = 0.1;
/** What was registered while the last look was made is looked at again. */
const overlapMs = 60_000;
/** Tenants with a time series of their own, those that wait longest first; the others share one. */
const maxTenants = 500;
const maxObjectives = 500;
const others = 'other';
const lagBuckets = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400];

/** How far learning is behind; names are part of docs and alert rules. */
export function lagMetrics(registry: Registry) {
  const registers = [registry];
  return {
    toDataset: new Histogram({
      name: 'mw_commit_to_dataset_seconds',
      help: 'From a commit to the first dataset that holds it, once a commit',
      buckets: lagBuckets,
      registers,
    }),
    toServing: new Histogram({
      name: 'mw_commit_to_serving_seconds',
      help: 'From a commit to the first version in production that has learned it, once a commit',
      buckets: lagBuckets,
      registers,
    }),
    oldest: new Gauge({
      name: 'mw_oldest_unlearned_commit_seconds',
      help: 'Age of the oldest commit that no dataset holds, by tenant',
      labelNames: ['tenant'] as const,
      registers,
    }),
    burn: new Gauge({
      name: 'mw_slo_burn_rate',
      help: 'How many times faster than allowed the budget of late commits is used up',
      labelNames: ['tenant', 'customization', 'window'] as const,
      registers,
    }),
    missed: new Gauge({
      name: 'mw_slo_missed',
      help: '1 while a commit of the customization waits longer than its objective allows',
      labelNames: ['tenant', 'customization'] as const,
      registers,
    }),
    measured: new Gauge({
      name: 'mw_lag_measured_timestamp_seconds',
      help: 'When the lag was measured last: an old one means that nobody watches',
      registers,
    }),
  };
}
type LagMetrics = ReturnType<typeof lagMetrics>;

/** Sets the gauges anew: what is gone must not stay. */
export function showLag(metrics: LagMetrics, states: readonly LagState[], atMs: number): void {
  const byTenant = new Map<string, number>();
  for (const { tenantId, oldestUnlearnedMs } of states)
    byTenant.set(tenantId, Math.max(byTenant.get(tenantId) ?? 0, oldestUnlearnedMs ?? 0));
  metrics.oldest.reset();
  [...byTenant]
    .sort(([, a], [, b]) => b - a)
    .forEach(([tenant, ageMs], i) => {
      const label = { tenant: i < maxTenants ? tenant : others };
      // The first of the others is the oldest of them.
      if (i <= maxTenants) metrics.oldest.set(label, ageMs / 1_000);
    });
  metrics.burn.reset();
  metrics.missed.reset();
  const objectives = states.filter(({ burn }) => burn !== null).sort((a, b) => (b.burn?.long ?? 0) - (a.burn?.long ?? 0));
  for (const { tenantId: tenant, customizationId: customization, burn, sloState } of objectives.slice(0, maxObjectives)) {
    for (const window of ['short', 'long'] as const) metrics.burn.set({ tenant, customization, window }, burn?.[window] ?? 0);
    metrics.missed.set({ tenant, customization }, sloState === 'missed' ? 1 : 0);
  }
  metrics.measured.set(atMs / 1_000);
}

/** Watches the lag until it is stopped. Several at once observe each commit once. */
export function startLagMeter(pool: Pool, registry: Registry, logger: Logger): { readonly stop: () => Promise<void> } {
  const metrics = lagMetrics(registry);
  const stopping = new AbortController();
  let lookedMs = 0;
  const look = async (): Promise<void> => {
    const startedMs = nowMs();
    for (const key of await changedSince(pool, lookedMs === 0 ? 0 : lookedMs - overlapMs)) {
      if (stopping.signal.aborted) return;
      const { toDatasetMs, toServingMs } = await noteLearnedCommits(pool, key);
      for (const ms of toDatasetMs) metrics.toDataset.observe(ms / 1_000);
      for (const ms of toServingMs) metrics.toServing.observe(ms / 1_000);
    }
    showLag(metrics, await measureLag(pool, nowMs()), nowMs());
    lookedMs = startedMs;
  };
  const run = async (): Promise<void> => {
    for (let failed = false; !stopping.signal.aborted;) {
      const startedMs = nowMs();
      try {
        await look();
        failed = false;
      } catch (error) {
        if (!failed) logger.warn({ err: error }, 'the lag could not be measured: trying again');
        failed = true;
      }
      await sleep(Math.max(intervalMs, (nowMs() - startedMs) / atMostShare), undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}
