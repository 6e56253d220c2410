import type { CustomizationSnapshot } from '../../core/customization.ts';
import type { GateVerdict } from '../../core/model.ts';
import type { GpuUse, TenantQuotas } from '../../core/quotas.ts';
import { type RunOutcome, endedRunStates } from '../../core/run.ts';
import { optionsDigest } from '../../platform/hash.ts';
import { fakeHeld } from './fake-schema.ts';
import type { Dataset, FakeCustomization, FakeRun } from './fake-tables.ts';

/** What the fake platform's tables tell the workflows. */
const toldOf = ({ number, digest, rows, cut }: Dataset) => ({ number, digest, rows: rows.size, cut });

export function fakeSnapshot(customizationId: string, c: FakeCustomization, tenantQuotas: TenantQuotas): CustomizationSnapshot {
  const dataset = c.datasets.at(-1);
  const run = c.runs.at(-1);
  return {
    customizationId,
    name: customizationId,
    businessModel: 'text-classification',
    state: c.state,
    policy: c.policy,
    options: c.options,
    optionsDigest: optionsDigest(c.options),
    lastDataset: dataset ? toldOf(dataset) : null,
    lastRun: run ? { number: run.number, state: run.state, paused: run.paused } : null,
    trainedOptionsDigest: c.trainedOptions,
    production: c.production,
    heldSchema: fakeHeld(c.schema),
    recentRuns: c.runs.map(({ startedAtMs }) => ({ startedAtMs, trainingMs: 1 })),
    tenantQuotas,
  };
}

export function fakeOutcome(customizationId: string, c: FakeCustomization | undefined, number: number): RunOutcome | null {
  const run = c?.runs[number - 1];
  if (!run || !endedRunStates.includes(run.state)) return null;
  const dataset = c?.datasets.find((one) => one.number === run.dataset);
  return {
    customizationId,
    run: number,
    state: run.state as RunOutcome['state'],
    reason: run.reason,
    failureClass: run.failureClass,
    dataset: dataset ? toldOf(dataset) : null,
    version: run.version,
    trainingMs: 1,
    ...(run.gpuSeconds === null ? {} : { gpuSeconds: run.gpuSeconds }),
  };
}

export const fakeGpuUse = (customizationId: string, runs: readonly FakeRun[]): GpuUse[] =>
  runs
    .filter(({ state }) => endedRunStates.includes(state))
    .flatMap(({ number, startedAtMs, gpuSeconds }) =>
      gpuSeconds === null ? [] : [{ customizationId, run: number, atMs: startedAtMs, gpuSeconds }],
    );

export const fakeVerdict = (verdict: GateVerdict['verdict']): GateVerdict => ({
  verdict,
  explanation: `the gate says ${verdict}`,
  metric: 'accuracy',
  candidate: 0.97,
  current: null,
  currentVersion: null,
  pairedP: null,
  testRows: 20,
  changedPredictions: 0,
  labels: {},
});

export const newFakeRun = (number: number, asked: Pick<FakeRun, 'requestKey' | 'trigger' | 'reason'>): FakeRun => ({
  number,
  requestKey: asked.requestKey,
  trigger: asked.trigger,
  reason: asked.reason,
  state: 'queued',
  attempt: 1,
  dataset: null,
  version: null,
  startedAtMs: Date.now(),
  states: [],
  failureClass: null,
  paused: null,
  gpuSeconds: null,
});
