import type { ForgettingActivities } from '../../activities/ports.ts';
import { type ForgettingKey, type ForgettingStep, nextForgettingStep } from '../../core/forgetting.ts';
import { endedRunStates } from '../../core/run.ts';
import type { FakePlatform } from './fake-platform.ts';

/** A request over the tables in memory; versions are the datasets that they learned. */
export type FakeForgetting = {
  readonly ids: readonly string[];
  readonly deadlineAtMs: number;
  readonly held: Set<number>;
  readonly withdrawn: Set<number>;
  waitsFor: readonly string[];
  certified: number;
};

/** Forgets rows of a platform in memory as the real activities do: by what its datasets hold. */
export function fakeForgetting(platform: FakePlatform): ForgettingActivities {
  const of = ({ customizationId, number }: ForgettingKey): FakeForgetting => {
    const found = platform.forgettings.get(`${customizationId}/${number}`);
    if (!found) throw new Error(`there is no forgetting ${number}`);
    return found;
  };
  const holding = (key: ForgettingKey): number[] =>
    (platform.customizations.get(key.customizationId)?.datasets ?? [])
      .filter(({ number, rows }) => !of(key).withdrawn.has(number) && of(key).ids.some((id) => rows.has(id)))
      .map(({ number }) => number);
  const runOf = (key: ForgettingKey, version: number) =>
    platform.customizations.get(key.customizationId)?.runs.find((run) => run.version === version);
  const versions = (key: ForgettingKey): number[] => {
    const datasets = holding(key);
    const runs = platform.customizations.get(key.customizationId)?.runs ?? [];
    return runs.flatMap(({ version, dataset }) => (version !== null && dataset !== null && datasets.includes(dataset) ? [version] : []));
  };
  return {
    lookForgetting: async (key) => {
      await platform.onActivity('lookForgetting');
      const forgetting = of(key);
      if (forgetting.certified > 0) return { next: 'done' };
      const c = platform.customizations.get(key.customizationId);
      const datasets = holding(key);
      const step: ForgettingStep = nextForgettingStep({
        deadlinePassed: Date.now() >= forgetting.deadlineAtMs,
        exists: c !== undefined,
        rowsInTable: forgetting.ids.filter((id) => c?.table.has(id)),
        versions: versions(key).map((version) => ({ version, held: forgetting.held.has(version) })),
        datasets,
        unread: [],
        production: c?.production ?? null,
        latestDataset: c?.datasets.at(-1)?.number ?? null,
        runs: (c?.runs ?? [])
          .filter(
            ({ state, dataset }) =>
              !endedRunStates.includes(state) && (dataset === null || datasets.includes(dataset) || forgetting.withdrawn.has(dataset)),
          )
          .map(({ number, dataset }) => ({ run: number, dataset, old: false, paused: false })),
        equalVersion: null,
      });
      forgetting.waitsFor = step.next === 'wait' ? step.waitsFor : [];
      return step;
    },
    withdrawForgotten: async (key) => {
      await platform.onActivity('withdrawForgotten');
      const c = platform.customizations.get(key.customizationId);
      const { held, withdrawn } = of(key);
      const going = versions(key).filter((version) => !held.has(version));
      const kept = new Set(versions(key).flatMap((version) => (held.has(version) ? [runOf(key, version)?.dataset] : [])));
      const datasets = holding(key).filter((number) => !kept.has(number));
      platform.calls.push(`withdraw ${going.map((version) => `v${version}`).join(' ') || 'nothing'}`);
      for (const number of datasets) withdrawn.add(number);
      const served = c?.production ?? null;
      if (c && served !== null && going.includes(served)) c.production = null;
      return { compare: served !== null && going.includes(served) };
    },
    removeForgotten: async ({ customizationId }) => {
      await platform.onActivity('removeForgotten');
      platform.calls.push('remove');
      return { waitsFor: [], runs: platform.customizations.get(customizationId)?.runs.length ?? 0 };
    },
    certifyForgetting: async ({ runs, ...key }) => {
      await platform.onActivity('certifyForgetting');
      if ((platform.customizations.get(key.customizationId)?.runs.length ?? 0) !== runs) return { waitsFor: ['a run began meanwhile'] };
      platform.calls.push('certify');
      of(key).certified += 1;
      return { waitsFor: [] };
    },
    noteForgettingFailed: async ({ reason, ...key }) => {
      await platform.onActivity('noteForgettingFailed');
      of(key).waitsFor = [`it failed: ${reason}`];
    },
    listForgettings: async ({ after, limit }) =>
      [...platform.forgettings]
        .filter(([, { certified }]) => certified === 0)
        .map(([id]) => ({ tenantId: platform.forgettingTenant, customizationId: id.split('/')[0] ?? '', number: Number(id.split('/')[1]) }))
        .filter(({ number }) => after === null || number > after.number)
        .slice(0, limit),
  };
}
