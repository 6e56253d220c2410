import { type ForgettingDependencies, createForgettingActivities } from '../../activities/forgetting/forgetting-activities.ts';
import { loadForgetting } from '../../activities/forgetting/forgettings.ts';
import { promoteModel } from '../../activities/registry/promotions.ts';
import { loadCatalog } from '../../catalog/catalog.ts';
import type { ForgettingCertificate, ForgettingKey } from '../../core/forgetting.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { type Config, signerOf } from '../../platform/config.ts';
import type { Pool } from '../../platform/mysql.ts';
import type { ObjectStore } from '../../store/object-store.ts';

/** What forgetting needs, where Kafka and Temporal are not started: they keep things for a second. */
export const forgettingDependencies = async (
  config: Pick<Config, 'signing' | 'paths'>,
  pool: Pool,
  store: ObjectStore,
): Promise<ForgettingDependencies> => ({
  pool,
  store,
  catalog: await loadCatalog(),
  maxTextChars: 10_000,
  signer: signerOf(config),
  kept: {
    topics: () => Promise.resolve([{ name: 'mw.modelwright.examples', retentionMs: 1_000 }]),
    workflowRetentionMs: () => Promise.resolve(1_000),
    backupDays: null,
  },
  beat: () => undefined,
});

/** On record as the API writes it. */
export async function askToForget(
  pool: Pool,
  key: CustomizationKey,
  ids: readonly string[],
  deadline = '1 HOUR',
  number = 1,
): Promise<ForgettingKey> {
  await pool.query(
    `INSERT INTO modelwright_control.forgettings (tenant_id, customization_id, number, example_ids, examples, salt, asked_by, deadline_at)
     VALUES (?, ?, ?, ?, ?, ?, 'key k', UTC_TIMESTAMP(6) + INTERVAL ${deadline})`,
    [key.tenantId, key.customizationId, number, JSON.stringify(ids), ids.length, 'c'.repeat(32)],
  );
  return { ...key, number };
}

/** What the workflow does, until it would wait; returns what for. */
export async function forgetUntilItWaits(dependencies: ForgettingDependencies, key: ForgettingKey): Promise<readonly string[]> {
  const activities = createForgettingActivities(dependencies);
  for (;;) {
    const step = await activities.lookForgetting(key);
    if (step.next === 'done') return [];
    if (step.next === 'wait') return step.waitsFor;
    if (step.next === 'withdraw') await activities.withdrawForgotten(key);
    else if (step.next === 'promote') {
      const asking = { ...key, requestKey: 'forget', version: step.version, actor: 'forget', reason: null, force: false, fence: null };
      await promoteModel(dependencies.pool, asking);
    } else {
      const removed = await activities.removeForgotten(key);
      if (removed.waitsFor.length > 0) return removed.waitsFor;
      const { waitsFor } = await activities.certifyForgetting({ ...key, runs: removed.runs });
      if (waitsFor.length > 0) return waitsFor;
    }
  }
}

export async function certificateOf(pool: Pool, key: ForgettingKey): Promise<ForgettingCertificate> {
  const { certificate } = await loadForgetting(pool, key);
  if (!certificate) throw new Error('there is no certificate');
  return certificate;
}
