import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import { sleep } from '../../platform/clock.ts';
import { parseSafetensors, tensorBytes } from '../../store/safetensors.ts';
import { type RealTraining, type TrainingCluster, startTrainingCluster, whyNoCluster } from '../../test/support/training-cluster.ts';
import type { JobEnd, JobSpec } from '../training/executor.ts';
import { jobName } from './labels.ts';
import { parseTiers } from './resource-tiers.ts';

const size = { cpu: '900m', memory: '1500Mi', disk: '2Gi' };
const tiers = parseTiers({ one: size, pair: { ...size, workers: 2 } }, 'the tiers of this test');
const encoder = 'all-MiniLM-L6-v2';
/** Of sums in another order, where the processor computes in f32; with bf16 in hardware they differ more. */
const tolerance = 2e-3;
const why = whyNoCluster();

/** Sentences that a model can learn to tell apart in a few steps. */
const rows: RealTraining['rows'] = Array.from({ length: 60 }, (_, i) => {
  const label = ['play', 'book'][i % 2] ?? '';
  const text = label === 'play' ? `play song number ${i} of the album` : `book a table for ${i} people tonight`;
  return { id: `r${i}`, split: i % 5 === 0 ? 'evaluation' : 'train', text, label };
});

describe.skipIf(why !== null)(`real trainings in pods${why === null ? '' : ` (${why})`}`, () => {
  let cluster: TrainingCluster;
  let core: CoreV1Api;
  let base: Omit<RealTraining, 'tier' | 'customizationId'>;

  beforeAll(async () => {
    cluster = await startTrainingCluster({ tiers });
    const config = new KubeConfig();
    config.loadFromFile(cluster.adminKubeconfig);
    core = config.makeApiClient(CoreV1Api);
    const model = (await loadCatalog()).get('text-classification');
    if (!model) throw new Error('there is no text-classification');
    base = { model, rows, encoder, options: { method: 'full', epochs: 2, batchSize: 16, trainedShare: 0.34 } };
  });
  afterAll(async () => await cluster?.remove());

  const follow = (spec: JobSpec): Promise<JobEnd> => cluster.executor.follow(spec, () => undefined, AbortSignal.timeout(400_000));
  const weightsOf = async (spec: JobSpec): Promise<ReadonlyMap<string, Float32Array>> => {
    const file = await cluster.stagedBytes(spec, 'model.safetensors');
    const parsed = parseSafetensors(file);
    return new Map(
      [...parsed.tensors].map(([name, info]) => [name, new Float32Array(Uint8Array.from(tensorBytes(file, parsed, info)).buffer)]),
    );
  };

  it('two workers come to what one comes to', async () => {
    const one = await cluster.training({ ...base, tier: 'one', customizationId: 'alone' });
    const pair = await cluster.training({ ...base, tier: 'pair', customizationId: 'together' });
    expect(pair.workers).toBe(2);
    for (const spec of [one, pair]) expect(await follow(spec)).toMatchObject({ kind: 'result', result: { class: 'ok' } });
    const pods = await core.listNamespacedPod({
      namespace: cluster.namespace,
      labelSelector: `job-name=${jobName(cluster.installation, pair, 1)}`,
    });
    expect(pods.items.map(({ status }) => status?.phase)).toEqual(['Succeeded', 'Succeeded']);
    const [alone, together] = [await weightsOf(one), await weightsOf(pair)];
    expect([...together.keys()].sort()).toEqual([...alone.keys()].sort());
    for (const [name, values] of alone) {
      const others = together.get(name) ?? new Float32Array();
      expect(others.length).toBe(values.length);
      // A key's bias gets no gradient: what Adam makes of its rounding errors is noise.
      if (name.includes('key.bias')) continue;
      const furthest = values.reduce((most, value, i) => Math.max(most, Math.abs(value - (others[i] ?? Number.NaN))), 0);
      expect([name, furthest < tolerance, furthest]).toEqual([name, true, furthest]);
    }
    for (const spec of [one, pair]) await cluster.executor.stop(spec);
  });

  it('of two workers one dies: the next attempt of both goes on from the checkpoint', async () => {
    const longer = { ...base, options: { ...base.options, epochs: 60 } };
    const spec = await cluster.training({ ...longer, tier: 'pair', customizationId: 'dies' });
    const aborted = new AbortController();
    const reached: number[] = [0];
    const ended = cluster.executor.follow(spec, ({ phase, step }) => void (phase === 'train' && reached.push(step)), aborted.signal);
    for (let i = 0; i < 400 && (reached.at(-1) ?? 0) < 20; i++) await sleep(250);
    expect(reached.at(-1)).toBeGreaterThanOrEqual(20);
    const labelSelector = `job-name=${jobName(cluster.installation, spec, 1)}`;
    const pods = (await core.listNamespacedPod({ namespace: cluster.namespace, labelSelector })).items;
    const second = pods.find(({ metadata }) => metadata?.annotations?.['batch.kubernetes.io/job-completion-index'] === '1');
    await core.deleteNamespacedPod({ namespace: cluster.namespace, name: second?.metadata?.name ?? '', gracePeriodSeconds: 0 });
    expect((await ended).kind).toBe('killed');
    const next = await cluster.training({ ...longer, tier: 'pair', customizationId: 'dies', attempt: 2 });
    const seen: number[] = [];
    const end = await cluster.executor.follow(
      next,
      ({ phase, step }) => void (phase === 'train' && step > 0 && seen.push(step)),
      AbortSignal.timeout(400_000),
    );
    expect(end).toMatchObject({ kind: 'result', result: { class: 'ok' } });
    expect(seen[0]).toBeGreaterThan(1);
    for (const one of [spec, next]) await cluster.executor.stop(one);
  });
});
