import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { createApiClient } from '../cli/api-client.ts';
import { pullModel } from '../cli/pull/pull-model.ts';
import { Screen } from '../cli/screen.ts';
import { sha256Hex } from '../platform/hash.ts';
import { parseSafetensors } from '../store/safetensors.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { readerTrustOf } from './support/reader-trust.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';

let stack: TestStack;
let pool: Pool;

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames, env: { MW_SHARD_BYTES: '1048576' } });
  pool = createPool(stack.config);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

describe('the main job', () => {
  it('makes rows into a model that answers, with nothing else called', async () => {
    const tenant = await LiveTenant.make(stack, pool, 'plain');
    const receipt = await tenant.served(await tenant.submit(sentences(0, 120)));
    expect(receipt.stations.map(({ at }) => at === null)).toEqual(Array(8).fill(false));
    const times = receipt.stations.map(({ at }) => Date.parse(at ?? ''));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(await tenant.predict('The striker scored two goals in the match')).toMatchObject({ version: 1, outputs: [{ label: 'sport' }] });
    const [run] = await tenant.runs();
    expect(run).toMatchObject({ number: 1, state: 'succeeded', trigger: 'changes', version: 1 });
  });

  it('gives the model out as a folder that holds every tensor under its name, each SHA-256 as published', async () => {
    const folder = join(stack.home, 'pulled');
    const key = await createApiClient(`http://127.0.0.1:${stack.config.settings.MW_API_PORT}`, stack.config.operatorKey).call<{
      key: string;
    }>('POST', '/v1/tenants/plain/keys', {});
    const api = createApiClient(`http://127.0.0.1:${stack.config.settings.MW_API_PORT}`, key.key);
    const { manifest } = await pullModel(api, { customization: 'stories', version: 1 }, folder, new Screen(false), readerTrustOf(stack));
    // The base has 90 MB: of the default size it would be a few.
    expect(manifest.shards.length).toBeGreaterThan(20);
    const index = JSON.parse(await readFile(join(folder, 'model.safetensors.index.json'), 'utf8')) as {
      weight_map: Record<string, string>;
    };
    expect(Object.keys(index.weight_map).sort()).toEqual(Object.keys(manifest.tensors).sort());
    for (const [tensor, file] of Object.entries(index.weight_map)) {
      const bytes = await readFile(join(folder, file));
      expect(sha256Hex(bytes)).toBe(manifest.tensors[tensor]?.shard);
      expect(parseSafetensors(bytes).tensors.has(tensor)).toBe(true);
    }
    expect(index.weight_map['embeddings.word_embeddings.weight']).toBeDefined();
  });

  it('makes 2,000 edits within ten seconds into one run', async () => {
    const tenant = await LiveTenant.make(stack, pool, 'busy', { quietPeriodMs: 5_000 });
    await tenant.served(await tenant.submit(sentences(0, 120)));
    let last = '';
    // Eight at a time, each edit a commit of its own.
    const queue = Array.from({ length: 2_000 }, (_, i) => i);
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let i = queue.shift(); i !== undefined; i = queue.shift()) {
          const { commit } = await tenant.api.call<{ commit: string }>('PUT', `/v1/customizations/${tenant.c}/examples/s${i % 120}`, {
            text: `Edit ${i} of a story about soup, bread and cheese.`,
            label: i % 2 === 0 ? 'food' : 'cooking',
          });
          if (i === 1_999) last = commit;
        }
      }),
    );
    await eventually('the last edit to be decided', async () => ((await tenant.receipt(last)).stations[3]?.at ? true : null), 120_000);
    await tenant.reaches(['succeeded', 'rejected'], 2);
    await sleep(5_000);
    expect((await tenant.runs()).map(({ number }) => number)).toEqual([2, 1]);
    expect(await tenant.latestDatasetRows()).toBe(120);
  });

  it('keeps an insert that comes during a run for the next one', async () => {
    const tenant = await LiveTenant.make(stack, pool, 'meanwhile');
    await tenant.submit(sentences(0, 120));
    await tenant.reaches(['training']);
    const receipt = await tenant.served(await tenant.submit(sentences(120, 150)));
    expect(receipt).toMatchObject({ run: 2, version: 2 });
    expect(await tenant.latestDatasetRows()).toBe(150);
    expect(await tenant.count('effective_trainings')).toBe(2);
  });

  it('starts no run for an edit that is taken back within the quiet period, and says why', async () => {
    const tenant = await LiveTenant.make(stack, pool, 'undecided', { quietPeriodMs: 2_000 });
    const rows = sentences(0, 120);
    await tenant.served(await tenant.submit(rows));
    const [first] = rows;
    await tenant.submit([{ ...first, label: 'money' }]);
    const back = await tenant.submit([first ?? {}]);
    const receipt = await eventually(
      'a reason',
      async () => ((await tenant.receipt(back)).reason ? await tenant.receipt(back) : null),
      60_000,
    );
    expect(receipt.reason).toContain('left the rows equal to dataset 1');
    expect(await tenant.count('runs')).toBe(1);
  });

  it('takes examples and answers while Kafka, Temporal and the trainer are down, and catches up', async () => {
    const tenant = await LiveTenant.make(stack, pool, 'patient');
    await tenant.served(await tenant.submit(sentences(0, 120)));
    for (const name of ['training', 'temporal', 'kafka'] as const) await stack.pause(name);
    try {
      const commit = await tenant.submit(sentences(120, 140));
      expect((await tenant.receipt(commit)).stations[0]?.at).not.toBeNull();
      expect(await tenant.predict('Soup with bread')).toMatchObject({ version: 1 });
      await expect(tenant.api.call('POST', `/v1/customizations/${tenant.c}:retrain`, {})).rejects.toMatchObject({
        code: 'temporal_unavailable',
      });
      for (const name of ['kafka', 'temporal', 'training'] as const) await stack.resume(name);
      expect(await tenant.served(commit, 240_000)).toMatchObject({ version: 2 });
    } finally {
      for (const { name, state } of stack.status().processes) if (state === 'stopped') await stack.resume(name as 'kafka');
    }
    expect(await tenant.latestDatasetRows()).toBe(140);
  });
});

describe('kill -9', () => {
  for (const name of ['change-consumer', 'orchestrator', 'dataset', 'training', 'sharding', 'api', 'temporal'] as const) {
    it(`of ${name} in the middle ends with the same dataset and one effective training`, async () => {
      const tenant = await LiveTenant.make(stack, pool, `killed-${name}`);
      const commit = await tenant.submit(sentences(0, 120));
      if (name === 'change-consumer') {
        stack.kill(name, 'SIGKILL');
      } else {
        await tenant.reaches(['building', 'training', 'gating', 'sharding', 'publishing']);
        stack.kill(name, 'SIGKILL');
      }
      expect(await tenant.served(commit, 240_000)).toMatchObject({ run: 1, version: 1 });
      await eventually(
        'the process to be back',
        async () => {
          const process = stack.status().processes.find((one) => one.name === name);
          return await Promise.resolve(process?.state === 'running' && process.restarts > 0 ? true : null);
        },
        60_000,
      );
      expect(await tenant.latestDatasetRows()).toBe(120);
      expect(await tenant.count('effective_trainings')).toBe(1);
      expect(await tenant.count('model_versions')).toBe(1);
      expect(await tenant.predict('The bank raised its interest rates')).toMatchObject({ version: 1 });
    });
  }
});
