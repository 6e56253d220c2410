import { createPool } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import type { InstalledEncoder } from '../../store/encoder-folder.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { createPublisher, makeCustomization, makeRun, stage } from '../../test/support/publish-scene.ts';
import { countedEndpoint } from './counted-endpoint.ts';
import { benchEndpoint } from './endpoint.ts';
import { type Shaped, modelBytes } from './synthetic-model.ts';

const businessModels = { encoder: 'text-classification', 'causal-lm': 'causal-lm-sft' } as const;

const labelNames = (count: number): string[] => Array.from({ length: count }, (_, i) => `label_of_some_words_${i}`);

export type Published = {
  /** Of the tensors that the training left. */
  readonly changedBytes: number;
  /** All that went to the store, the heads of requests included. */
  readonly sentBytes: number;
  /** Of them what requests carried: tensors, files, manifests. The rest are their heads. */
  readonly bodyBytes: number;
  readonly requests: number;
  readonly seconds: number;
  readonly version: number;
};

/** Publishes trainings by the very activities of the sharding worker, with a real registry and store; what a job would have left is drawn. */
export async function trainingsPublisher(modelsDir: string) {
  const registry = await startTestStack({ engines: ['mysql'] });
  const pool = createPool(registry.config);
  const { s3, store, close } = await benchEndpoint();
  const counted = await countedEndpoint(s3.endpoint);
  const client = createS3Client({ s3: { ...s3, endpoint: counted.endpoint } });
  let [requests, bodies] = [0, 0];
  client.middlewareStack.add(
    (next) => async (args) => {
      requests += 1;
      bodies += Number((args.request as { readonly headers: Readonly<Record<string, string>> }).headers['content-length'] ?? 0);
      return await next(args);
    },
    { step: 'finalizeRequest', name: 'counted' },
  );
  const publisher = (await createPublisher(modelsDir))(pool, createS3ObjectStore(client, s3.bucket));
  const runs = new Map<string, number>();
  return {
    store,
    /** The next version of a tenant's customization of this base, which tells so many labels apart. Only one at a time is counted right. */
    publish: async (tenantId: string, base: InstalledEncoder, tensors: readonly Shaped[], labels: number): Promise<Published> => {
      const key = { tenantId, customizationId: base.name };
      const name = `${tenantId}/${base.name}`;
      const run = (runs.get(name) ?? 0) + 1;
      runs.set(name, run);
      if (run === 1) await makeCustomization(pool, key, businessModels[base.kind]);
      await makeRun(pool, { ...key, run });
      const { name: baseName, digest } = base;
      const left = { weights: modelBytes(tensors), baseModel: { name: baseName, digest }, labels: labelNames(labels) };
      const input = await stage(store, { ...key, run, attempt: 1 }, left);
      const before = { sent: counted.sent(), bodies, requests };
      const started = performance.now();
      const { version } = await publisher.publish(input);
      const seconds = (performance.now() - started) / 1_000;
      const sent = counted.sent();
      // As when a run ends.
      await store.delete(Object.values(input.training.files).map((file) => file.key));
      const changedBytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
      const sentBytes = sent - before.sent;
      return { changedBytes, sentBytes, bodyBytes: bodies - before.bodies, requests: requests - before.requests, seconds, version };
    },
    close: async (): Promise<void> => {
      client.destroy();
      await counted.close();
      await close();
      await pool.end();
      await registry.remove();
    },
  };
}
