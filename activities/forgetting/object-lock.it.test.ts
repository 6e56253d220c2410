import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import type { DatasetRow } from '../../core/dataset.ts';
import { signerOf } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import { certificateProblem } from '../../store/forgetting-certificate.ts';
import { keptEmbeddingsKey, tenantFileKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { objectsWith } from '../../test/support/raw-traces.ts';
import { collectGarbage, startStoreCare } from '../../test/support/store-care-scene.ts';
import { newTenant, publishVersion } from '../../test/support/stored-runs.ts';
import { everyVersion, startVersionedGateway } from '../../test/support/versioned-gateway.ts';
import { promoteModel } from '../registry/promotions.ts';
import { lockPromoted } from '../store-care/lock-promoted.ts';
import type { StoreCareDependencies } from '../store-care/store-care-activities.ts';
import { type ForgettingDependencies, createForgettingActivities } from './forgetting-activities.ts';
import { loadForgetting } from './forgettings.ts';

let care: StoreCareDependencies;
let pool: Pool;
let lockable: ObjectStore;
let gateway: Awaited<ReturnType<typeof startVersionedGateway>>;
let dependencies: Omit<ForgettingDependencies, 'store'>;
let stop: () => Promise<void>;

beforeAll(async () => {
  const scene = await startStoreCare(10, { MW_OBJECT_LOCK_DAYS: '1' });
  ({ pool, store: lockable, dependencies: care, stop } = scene);
  gateway = await startVersionedGateway();
  dependencies = {
    pool,
    catalog: await loadCatalog(),
    maxTextChars: 10_000,
    signer: signerOf(scene.stack.config),
    kept: { topics: () => Promise.resolve([]), workflowRetentionMs: () => Promise.resolve(1_000), backupDays: null },
    beat: () => undefined,
  };
});
afterAll(async () => {
  await gateway?.close();
  await stop();
});

const secret = 'Quuxinella von Zanzibar ate 41 tomatoes';
const row = (id: string, text: string): DatasetRow => ({ id, split: 'train', text, label: 'food' });
const others = [row('a', 'a soup of cheese'), row('b', 'the bread of yesterday')];

/** A tenant whose first version learned the secret and served; the second has replaced it. The secret is forgotten. */
async function forgotten(store: ObjectStore, tenantId: string, lockMs: number) {
  const key = await newTenant(pool, tenantId);
  const promote = (version: number) =>
    promoteModel(pool, { ...key, requestKey: `p${version}`, version, actor: 'ada', reason: null, force: true, fence: null });
  await publishVersion(pool, store, key, { examples: [...others, row('secret', secret)], shards: ['own 1'], files: [secret] });
  await promote(1);
  await lockPromoted({ pool, store, lockMs, beat: () => undefined });
  await store.replace(keptEmbeddingsKey(key), Buffer.from(`${secret} once`));
  await store.replace(keptEmbeddingsKey(key), Buffer.from('and not any more'));
  await publishVersion(pool, store, key, { examples: others, shards: ['own 2'] });
  await promote(2);
  await pool.query(
    `INSERT INTO modelwright_control.forgettings (tenant_id, customization_id, number, example_ids, examples, salt, asked_by, deadline_at)
     VALUES (?, ?, 1, '["secret"]', 1, ?, 'key k', UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)`,
    [key.tenantId, key.customizationId, 'c'.repeat(32)],
  );
  const request = { ...key, number: 1 };
  const activities = createForgettingActivities({ ...dependencies, store });
  const waits: string[] = [];
  for (let done = false; !done && waits.length === 0;) {
    const step = await activities.lookForgetting(request);
    done = step.next === 'done';
    if (step.next === 'wait') waits.push(...step.waitsFor);
    if (step.next === 'withdraw') await activities.withdrawForgotten(request);
    if (step.next === 'remove') {
      const { waitsFor, runs } = await activities.removeForgotten(request);
      waits.push(...waitsFor, ...(await activities.certifyForgetting({ ...request, runs })).waitsFor);
    }
  }
  expect(waits).toEqual([]);
  const { certificate } = await loadForgetting(pool, request);
  if (!certificate) throw new Error('there is no certificate');
  expect(certificateProblem(certificate, new Map([[dependencies.signer.keyId, dependencies.signer]]))).toBeNull();
  expect(certificate.withdrawn).toEqual({ versions: [1], datasets: [1] });
  return { key, certificate };
}

describe('forgetting what is under object lock', () => {
  it('withdraws it, says until when it is still there, and that is true', async () => {
    const { key, certificate } = await forgotten(lockable, 'locked', 30_000);
    const file = tenantFileKey(key.tenantId, sha256Hex(secret));
    const endMs = Number((await lockable.locks?.locked([file]))?.get(file));
    expect(endMs).toBeGreaterThan(Date.now());
    const residual = certificate.residuals.find(({ where }) => where === 'object lock of the store');
    expect(residual?.what).toMatch(/^3 objects \(\d+ bytes\) of versions/);
    expect(Math.abs(Date.parse(residual?.until ?? '') - endMs)).toBeLessThan(2_000);
    // Bucket, dataset, details of the judgement, kept embeddings, and what two runs had staged; not what is locked.
    expect(certificate.removed.objects).toBe(6);
    expect(await objectsWith(lockable, secret)).toEqual([file]);
    const retention = { ...care.retention, lockMs: 30_000 };
    await collectGarbage({ ...care, retention }, 'before');
    expect(await objectsWith(lockable, secret)).toEqual([file]);
    await sleep(Math.max(0, endMs - Date.now()) + 1_500);
    await collectGarbage({ ...care, retention }, 'after');
    expect(await objectsWith(lockable, secret)).toEqual([]);
  });

  it('names none where nothing is locked, and leaves no older version in a bucket that keeps them', async () => {
    const store = createS3ObjectStore(createS3Client({ s3: gateway.versioned }), gateway.versioned.bucket);
    const { key, certificate } = await forgotten(store, 'versioned', 0);
    expect(certificate.residuals.map(({ where }) => where)).not.toContain('object lock of the store');
    expect(await objectsWith(store, secret)).toEqual([]);
    const left = [
      ...(await everyVersion(gateway.versioned, `tenants/${key.tenantId}/`)),
      ...(await everyVersion(gateway.versioned, 'kept/')),
    ];
    expect(left).toEqual([...left].filter((one) => !one.startsWith('marker of')));
    expect(new Set(left).size).toBe(left.length);
    expect(left.some((one) => one.startsWith('kept/'))).toBe(false);
    expect(left).not.toContain(tenantFileKey(key.tenantId, sha256Hex(secret)));
  });
});
