import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DatasetRow } from '../../core/dataset.ts';
import { type ForgettingKey, keptRemovalDays } from '../../core/forgetting.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { bucketOf, sha256Hex } from '../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { openForgettings } from '../../platform/open-forgettings.ts';
import { forgottenCache } from '../../predictor/forgotten-cache.ts';
import { certificateProblem } from '../../store/forgetting-certificate.ts';
import { keptEmbeddingsKey, stagingKey, tenantFileKey, tenantShardKey } from '../../store/keys.ts';
import { CorruptObject, type ListedObject, type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';
import { askToForget, certificateOf, forgetUntilItWaits, forgettingDependencies } from '../../test/support/asked-forgetting.ts';
import { objectsWith } from '../../test/support/raw-traces.ts';
import { Dying } from '../../test/support/dying.ts';
import { StoredRun, newTenant, publishVersion, storedKeys } from '../../test/support/stored-runs.ts';
import { collectGarbage, startStoreCare } from '../../test/support/store-care-scene.ts';
import { promoteModel } from '../registry/promotions.ts';
import { modelsScope, takeLease } from '../store-care/leases.ts';
import type { ForgettingDependencies } from './forgetting-activities.ts';
import { openForgettingLines } from '../../cli/forgettings-lines.ts';
import { loadForgetting } from './forgettings.ts';

let scene: Awaited<ReturnType<typeof startStoreCare>>;
let pool: Pool;
let store: ObjectStore;
let dependencies: ForgettingDependencies;
let stop: () => Promise<void>;
let count = 0;

beforeAll(async () => {
  scene = await startStoreCare(10);
  ({ pool, store, stop } = scene);
  dependencies = await forgettingDependencies(scene.stack.config, pool, store);
});
afterAll(async () => await stop());

const dayMs = 86_400_000;
const secret = 'Quuxinella von Zanzibar ate 41 tomatoes';
const row = (id: string, text: string): DatasetRow => ({ id, split: 'train', text, label: 'food' });
const others = [row('a', 'a soup of cheese'), row('b', 'the bread of yesterday')];
const tenant = (): Promise<CustomizationKey> => newTenant(pool, `f${++count}`);

const asked = (key: CustomizationKey, ids: readonly string[], deadline?: string): Promise<ForgettingKey> =>
  askToForget(pool, key, ids, deadline);
const forget = (key: ForgettingKey, changed: Partial<ForgettingDependencies> = {}): Promise<readonly string[]> =>
  forgetUntilItWaits({ ...dependencies, ...changed }, key);
function failingList(reason: Error): AsyncIterable<ListedObject> {
  const next = async (): Promise<never> => {
    await Promise.resolve();
    throw reason;
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}
const has = async (key: string): Promise<boolean> => (await store.size(key)) !== null;
const put = (key: string, text: string): Promise<unknown> => store.putContent(key, Buffer.from(text), sha256Hex(text));

describe('forgetting in registry and store', () => {
  it('withdraws and removes what learned the rows and nothing else, and vouches for it', async () => {
    const key = await tenant();
    const bystander = await tenant();
    await publishVersion(pool, store, bystander, { examples: [row('secret', secret)], shards: ['of another'] }, true);
    await publishVersion(pool, store, key, { examples: others, shards: ['own 1', 'shared'] });
    await publishVersion(pool, store, key, { examples: [...others, row('secret', secret)], shards: ['own 2', 'shared'], files: [secret] });
    await publishVersion(pool, store, key, { examples: [...others, row('secret', `${secret} raw`)], shards: ['own 3'] }, true);
    await put(keptEmbeddingsKey(key), 'kept');
    const unfinished = await StoredRun.open(pool, store, key);
    await put(stagingKey(unfinished.key, 1, 'eval.jsonl'), JSON.stringify({ text: secret }));
    await unfinished.state('failed');
    const request = await asked(key, ['secret', 'never there']);
    expect(await forget(request)).toEqual([
      'dataset 3 holds them: the next one is not built yet',
      'v3 learned them and serves: no version without them has replaced it',
    ]);
    await publishVersion(pool, store, key, { examples: [...others, row('c', 'a new one')], shards: ['own 5'] }, true);
    expect(await forget(request)).toEqual([]);

    const certificate = await certificateOf(pool, request);
    expect(certificateProblem(certificate, new Map([[dependencies.signer.keyId, dependencies.signer]]))).toBeNull();
    expect(certificate.withdrawn).toEqual({ versions: [2, 3], datasets: [2, 3] });
    expect(certificate.examples.digests).toContain(sha256Hex(`${certificate.examples.salt}\nsecret`));
    // The text of v2 and that of v3; the label is a text that others have too, and too short to look for.
    expect(certificate.search).toMatchObject({ texts: 2, shared: { texts: 0 }, elsewhere: [] });
    expect((await objectsWith(store, secret)).filter((one) => !one.includes(bystander.tenantId))).toEqual([]);
    const shardOf = (text: string): string => tenantShardKey(key.tenantId, sha256Hex(text));
    for (const gone of ['own 2', 'own 3']) expect(await has(shardOf(gone))).toBe(false);
    for (const kept of ['own 1', 'shared', 'own 5']) expect(await has(shardOf(kept))).toBe(true);
    expect(await has(keptEmbeddingsKey(key))).toBe(false);
    expect(await objectsWith(store, secret)).toHaveLength(1);
    // Nothing that could find the texts, and no id, is left on record.
    const { exampleIds, needles } = await loadForgetting(pool, request);
    expect([exampleIds, needles]).toEqual([[], []]);
    const [details] = await pool.query<RowDataPacket[]>(
      "SELECT number FROM modelwright_control.runs WHERE tenant_id = ? AND dataset_number IN (2, 3) AND verdict->'$.details' IS NOT NULL",
      [key.tenantId],
    );
    expect(details).toEqual([]);
    const asking = { ...key, requestKey: 'r', version: 3, actor: 'ada', reason: null, force: true, fence: null };
    await expect(promoteModel(pool, asking)).rejects.toThrow(/v3 was withdrawn/);
    expect(await forget(request)).toEqual([]);
    expect(await certificateOf(pool, request)).toEqual(certificate);
  });

  it('comes to the same end wherever it dies', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { examples: [...others, row('secret', secret)], shards: ['own 1'], files: [secret] });
    await publishVersion(pool, store, key, { examples: others, shards: ['own 2'] }, true);
    const request = await asked(key, ['secret']);
    const dying = new Dying();
    const { counting } = dying;
    const mortal: ObjectStore = {
      ...store,
      read: counting((ref) => store.read(ref)),
      delete: counting((keys, signal) => store.delete(keys, signal)),
      stream: counting((object) => store.stream(object)),
    };
    const mortalPool = new Proxy(pool, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (name === 'query') return counting((...args: Parameters<Pool['query']>) => target.query(...args));
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    let ended = false;
    let dieAt = 1;
    for (; !ended && dieAt < 400; dieAt++) {
      dying.at(dieAt);
      ended = await forget(request, { store: mortal, pool: mortalPool }).then(
        () => true,
        (error: unknown) => {
          if ((error as Error).message !== 'died') throw error;
          return false;
        },
      );
    }
    expect(dieAt).toBeGreaterThan(20);
    const { withdrawn, search, removed } = await certificateOf(pool, request);
    expect(withdrawn).toEqual({ versions: [1], datasets: [1] });
    expect(search.texts).toBe(1);
    // Bucket, dataset, manifest, shard, file, details of the judgement, and what two runs had staged: each counted once.
    expect(removed.objects).toBe(8);
    expect((await objectsWith(store, secret)).filter((one) => one.includes(key.tenantId))).toEqual([]);
    const [sweeps] = await pool.query<RowDataPacket[]>("SELECT scope FROM modelwright_control.store_sweeps WHERE round_id LIKE 'forget/%'");
    expect(sweeps).toEqual([]);
  });

  it('takes a version that learned just the rows that are left, where no run makes one', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { examples: others, shards: ['own 1'] });
    await publishVersion(pool, store, key, { examples: [...others, row('secret', secret)], shards: ['own 2'] }, true);
    const request = await asked(key, ['secret']);
    // Its rows are those of dataset 1: the run is skipped, for run 1 has trained just these.
    const run = await StoredRun.open(pool, store, key);
    await run.examples(others);
    await run.state('skipped');
    expect(await forget(request)).toEqual([]);
    const [aliases] = await pool.query<(RowDataPacket & { version: number })[]>(
      "SELECT version FROM modelwright_control.aliases WHERE tenant_id = ? AND alias = 'production'",
      [key.tenantId],
    );
    expect(aliases[0]?.version).toBe(1);
    expect((await certificateOf(pool, request)).withdrawn.versions).toEqual([2]);
  });

  it('says which other examples and customizations have a text too, and what it cannot explain', async () => {
    const key = await tenant();
    const sibling = await newTenant(pool, key.tenantId, {}, 'sibling');
    await publishVersion(pool, store, sibling, { examples: [row('x', 'the text of both customizations')], shards: ['s'] }, true);
    const rows = [row('secret', secret), row('double', 'the bread of yesterday'), row('both', 'the text of both customizations')];
    await publishVersion(pool, store, key, { examples: [...others, ...rows], shards: ['own 1'] });
    await publishVersion(pool, store, key, { examples: others, shards: ['own 2'] }, true);
    await put(`tenants/${key.tenantId}/${key.customizationId}/notes.txt`, `somebody wrote: ${secret}`);
    const request = await asked(key, ['secret', 'double', 'both']);
    const notes = `tenants/${key.tenantId}/${key.customizationId}/notes.txt`;
    expect(await forget(request)).toEqual([`${notes} still has one of the texts`]);
    expect((await loadForgetting(pool, request)).state).toBe('blocked');
    await store.delete([notes]);
    expect(await forget(request)).toEqual([]);
    expect((await certificateOf(pool, request)).search).toMatchObject({
      texts: 3,
      shared: { texts: 1, exampleIds: ['b'] },
      elsewhere: ['sibling'],
    });
  });

  it('waits for runs and leases, and a run whose dataset was withdrawn publishes nothing', async () => {
    const key = await tenant();
    const sibling = await newTenant(pool, key.tenantId, {}, 'sibling');
    await publishVersion(pool, store, key, { examples: others, shards: ['own 1'] }, true);
    const run = await StoredRun.open(pool, store, key);
    await run.examples([...others, row('secret', secret)]);
    await run.state('sharding');
    await pool.query('UPDATE modelwright_control.runs SET dataset_number = 2 WHERE tenant_id = ? AND number = 2', [key.tenantId]);
    await run.shard({ shards: ['own 2'] });
    const request = await asked(key, ['secret']);
    expect((await forget(request))[0]).toBe('run 2 learns a dataset that holds them, until it has ended');
    await pool.query('UPDATE modelwright_control.forgettings SET deadline_at = UTC_TIMESTAMP(6) WHERE tenant_id = ?', [key.tenantId]);
    expect(await forget(request)).toEqual(['run 2 learns them: it is cancelled, for the deadline has passed']);
    await expect(run.publish()).rejects.toThrow(/dataset 2 was withdrawn/);
    await run.state('cancelled');
    const busy = await StoredRun.open(pool, store, sibling);
    await takeLease(pool, busy.key, [modelsScope(key.tenantId)]);
    expect((await forget(request)).join()).toContain('a run may take over what is there');
    await busy.state('failed');
    // One that begins long after the request learns none of the rows.
    const later = await StoredRun.open(pool, store, key);
    await pool.query('UPDATE modelwright_control.runs SET created_at = created_at + INTERVAL 1 HOUR WHERE tenant_id = ? AND number = ?', [
      key.tenantId,
      later.key.run,
    ]);
    expect((await forget(request)).join()).toContain('run 3 goes on (queued)');
    await later.state('failed');
    expect(await forget(request)).toEqual([]);
    expect((await certificateOf(pool, request)).withdrawn).toEqual({ versions: [], datasets: [2] });
  });

  it('waits while a row is in the table again, and forgets rows of a customization that was deleted', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { examples: [...others, row('secret', secret)], shards: ['own 1'] }, true);
    const request = await asked(key, ['secret']);
    await pool.query("INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES (?, ?, 'secret', '{}')", [
      key.tenantId,
      key.customizationId,
    ]);
    expect(bucketOf('secret')).toBeGreaterThanOrEqual(0);
    expect(await forget(request)).toEqual(['a row is in the table again: delete secret']);
    await pool.query('DELETE FROM modelwright.examples WHERE tenant_id = ?', [key.tenantId]);
    await pool.query('DELETE FROM modelwright.customizations WHERE tenant_id = ?', [key.tenantId]);
    expect(await forget(request)).toEqual([]);
    expect(await storedKeys(store, `tenants/${key.tenantId}/`)).toEqual([]);
  });

  it('makes predictors drop versions and files, once they look', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { examples: [row('secret', secret)], shards: ['of a predictor'], files: ['its words'] }, true);
    expect(await forget(await asked(key, ['secret'], '0 SECOND'))).toEqual([]);
    const dropped: string[] = [];
    let clearedUpTo = 0;
    const look = forgottenCache(
      pool,
      {
        cachePath: (sha256) => (dropped.push(sha256), `/nonexistent/${sha256}`),
        dropCachedBefore: async (beforeMs) => await Promise.resolve(void (clearedUpTo = beforeMs)),
      },
      { drop: ({ tenantId, version }) => void dropped.push(`${tenantId} v${version}`) },
    );
    await look();
    expect(dropped).toContain(`${key.tenantId} v1`);
    for (const text of ['of a predictor', 'its words']) expect(dropped).toContain(sha256Hex(text));
    const [manifests] = await pool.query<(RowDataPacket & { manifest_sha256: string })[]>(
      'SELECT manifest_sha256 FROM modelwright_control.model_versions WHERE tenant_id = ?',
      [key.tenantId],
    );
    expect(dropped).toContain(manifests[0]?.manifest_sha256);
    expect(await has(tenantFileKey(key.tenantId, sha256Hex('its words')))).toBe(false);
    // Whatever is pruned from the record is older than what the cache keeps.
    expect(clearedUpTo).toBeGreaterThan(Date.now() - keptRemovalDays * dayMs);
  });

  it('prunes the record of what was removed when it is old, but for a certificate that is to count it', async () => {
    const done = await tenant();
    await publishVersion(pool, store, done, { examples: [row('secret', secret)], shards: ['old'] }, true);
    expect(await forget(await asked(done, ['secret'], '0 SECOND'))).toEqual([]);
    const open = await tenant();
    await publishVersion(pool, store, open, { examples: [row('secret', secret)], shards: ['removed'] }, true);
    const request = await asked(open, ['secret'], '0 SECOND');
    await expect(forget(request, { kept: { ...dependencies.kept, topics: () => Promise.reject(new Error('no Kafka')) } })).rejects.toThrow(
      'no Kafka',
    );
    const counts = async (): Promise<number[]> =>
      await Promise.all(
        [done, open].map(async ({ tenantId }) => {
          const [rows] = await pool.query<RowDataPacket[]>('SELECT * FROM modelwright_control.forgotten_objects WHERE tenant_id = ?', [
            tenantId,
          ]);
          return rows.length;
        }),
      );
    const [kept = 0, counted = 0] = await counts();
    expect(Math.min(kept, counted)).toBeGreaterThan(3);
    const age = async (days: number): Promise<void> =>
      void (await pool.query('UPDATE modelwright_control.forgotten_objects SET removed_at = UTC_TIMESTAMP(6) - INTERVAL ? DAY', [days]));
    // As every collection of garbage ends.
    await age(keptRemovalDays - 1);
    await collectGarbage(scene.dependencies, 'prune-young');
    expect(await counts()).toEqual([kept, counted]);
    await age(keptRemovalDays + 1);
    await collectGarbage(scene.dependencies, 'prune-old');
    expect(await counts()).toEqual([0, counted]);
    expect(await forget(request)).toEqual([]);
    expect((await certificateOf(pool, request)).removed.objects).toBe(counted);
    await collectGarbage(scene.dependencies, 'prune-done');
    expect(await counts()).toEqual([0, 0]);
  });

  it('says in its state why it does not go on, and nothing that only a log may say', async () => {
    const key = await tenant();
    const request = await asked(key, ['secret']);
    const shown = async () => (await openForgettings(pool, key))[0];
    const failing = (error: Error) => forget(request, { store: { ...store, list: () => failingList(error) } });
    await expect(failing(new StoreUnavailable('the store is away'))).rejects.toThrow('the store is away');
    expect(await shown()).toMatchObject({ state: 'waiting', waitsFor: ['it is tried again: the store is away: see `mw status`'] });
    await expect(failing(new CorruptObject('a manifest is damaged'))).rejects.toThrow('a manifest is damaged');
    expect(await shown()).toMatchObject({
      state: 'blocked',
      waitsFor: ['it failed: a manifest is damaged', expect.stringContaining('again')],
    });
    expect((await openForgettings(pool, null)).map(({ tenantId }) => tenantId)).toContain(key.tenantId);
    await expect(failing(new TypeError(`cannot read ${secret}`))).rejects.toThrow('cannot read');
    expect((await shown())?.waitsFor).toEqual([expect.stringContaining('not expected (TypeError)')]);
    expect(openForgettingLines(await openForgettings(pool, key)).join('\n')).toMatch(
      /^forgetting 1 of f\d+\/c: blocked, asked .*\n  waits: it is tried/,
    );
    expect(await forget(request)).toEqual([]);
    expect(await shown()).toBeUndefined();
  });
});
