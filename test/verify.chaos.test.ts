import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTenantWorkflows } from '../activities/adapters/tenant-workflows.ts';
import { changedBucketsSince } from '../activities/dataset/changed-buckets.ts';
import { createDatasetActivities } from '../activities/dataset/dataset-activities.ts';
import { createApiClient } from '../cli/api-client.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { noBuckets, withBucket } from '../core/dirty-buckets.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { gtidSetContains } from '../core/gtid.ts';
import type { VerificationResult } from '../core/verification.ts';
import type { Secrets } from '../platform/config.ts';
import { bucketOf } from '../platform/hash.ts';
import { projectDir } from '../platform/paths.ts';
import { type Pool, type RowDataPacket, createPool } from '../platform/mysql.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { createS3Client } from '../platform/s3.ts';
import { type ObjectStore } from '../store/object-store.ts';
import { DatasetReader } from '../store/lineage.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';
import { writeShippedEncoders } from './support/tiny-encoders.ts';

let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let root: mysql.Connection;
let tenant: LiveTenant;
let key: string;

const verify = (): Promise<VerificationResult> => tenant.api.call('POST', `/v1/customizations/${tenant.c}:verify`);
const ids = async (): Promise<string[]> => {
  const [rows] = await pool.query<(RowDataPacket & { example_id: string })[]>(
    'SELECT example_id FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? ORDER BY example_id',
    [tenant.tenantId, tenant.c],
  );
  return rows.map((row) => row.example_id);
};

/** `mw` as a person runs it; its status and what it printed. */
async function mw(...args: readonly string[]): Promise<{ code: number; stdout: string }> {
  const env = { ...stack.env, MW_URL: tenant.api.url, MW_KEY: key };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [join(projectDir, 'cli/main.ts'), ...args], { env });
    return { code: 0, stdout };
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string };
    return { code, stdout };
  }
}

/** Waits until every change is in a dataset and the workflow knows it. */
const settled = (): Promise<unknown> =>
  eventually(
    'everything to be learned',
    async () => {
      const { phase } = await tenant.api.call<{ phase: string }>('GET', `/v1/customizations/${tenant.c}/status`);
      return phase === 'idle' && (await verify()).verdict === 'equal' ? true : null;
    },
    180_000,
  );

/** Runs statements that the binary log never hears of. */
async function behindTheLog(sql: string, values: readonly unknown[]): Promise<void> {
  await root.query('SET SESSION sql_log_bin = 0');
  await root.query(sql, [...values]);
  await root.query('SET SESSION sql_log_bin = 1');
}

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames });
  pool = createPool(stack.config);
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  const secrets = JSON.parse(await readFile(stack.config.paths.secretsFile, 'utf8')) as Secrets;
  root = await mysql.createConnection({
    host: '127.0.0.1',
    port: stack.config.mysql.port,
    user: 'root',
    password: secrets.mysqlRootPassword,
  });
  tenant = await LiveTenant.make(stack, pool, 'proof');
  const operator = createApiClient(tenant.api.url, stack.config.operatorKey);
  key = (await operator.call<{ key: string }>('POST', `/v1/tenants/${tenant.tenantId}/keys`, {})).key;
  await tenant.served(await tenant.submit(sentences(0, 120)));
});
afterAll(async () => {
  await root?.end();
  await pool?.end();
  await stack?.remove();
});

describe('verify', () => {
  it('finds a table and its dataset equal, by their digests', async () => {
    const result = await verify();
    expect(result).toMatchObject({
      ok: true,
      verdict: 'equal',
      missing: [],
      extra: [],
      changed: [],
      I1: { holds: true },
      I2: { holds: true },
    });
    expect(result.table.rows).toBe((await ids()).length);
    expect(result.dataset).toMatchObject({ number: 1, rows: 120, digest: result.table.digest });
  });

  it('stays ok while writers never pause, and says what is on its way', async () => {
    await tenant.api.call('PATCH', `/v1/customizations/${tenant.c}`, { policy: { quietPeriodMs: 600_000, maxWaitMs: 600_000 } });
    const writing = new AbortController();
    let written = 0;
    const writer = (async () => {
      while (!writing.signal.aborted) {
        await tenant.submit(sentences(200 + written, 201 + written));
        written += 1;
        await sleep(30);
      }
    })();
    const verdicts: string[] = [];
    for (let i = 0; i < 4; i++) {
      const result = await verify();
      verdicts.push(`${result.ok} ${result.verdict}`);
      expect(result.counts.unexplained).toBe(0);
    }
    writing.abort();
    await writer;
    expect(written).toBeGreaterThan(10);
    expect(verdicts.at(-1)).toBe('true on_its_way');
    expect(verdicts.every((verdict) => verdict.startsWith('true'))).toBe(true);
    const result = await verify();
    expect(result.counts).toEqual({ missing: written, extra: 0, changed: 0, unexplained: 0 });
    expect(result.explanation).toContain('waiting');
  });

  it('finds rows that the log never told of, names them, has them healed, and is content afterwards', async () => {
    await tenant.api.call('PATCH', `/v1/customizations/${tenant.c}`, { policy: { quietPeriodMs: 1_000, maxWaitMs: 60_000 } });
    await settled();
    const before = await tenant.count('datasets');
    const scope = [tenant.tenantId, tenant.c];
    await behindTheLog('DELETE FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? AND example_id = ?', [
      ...scope,
      's7',
    ]);
    await behindTheLog('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES (?, ?, ?, ?)', [
      ...scope,
      'hidden',
      JSON.stringify({ text: 'A hidden story about soup.', label: 'food' }),
    ]);
    await behindTheLog('UPDATE modelwright.examples SET content = ? WHERE tenant_id = ? AND customization_id = ? AND example_id = ?', [
      JSON.stringify({ text: 'Changed behind the log: a bank.', label: 'money' }),
      ...scope,
      's9',
    ]);
    const { code, stdout } = await mw('verify', tenant.c, '--json');
    expect(code).toBe(1);
    const found = JSON.parse(stdout) as VerificationResult;
    expect(found).toMatchObject({ ok: false, verdict: 'violated', missing: ['hidden'], extra: ['s7'], changed: ['s9'] });
    expect(found).toMatchObject({ I1: { holds: false }, I2: { holds: false } });
    expect([...found.unexplained].sort()).toEqual(['hidden', 's7', 's9']);
    expect(found.healing).toContain('changesMissed');
    await settled();
    expect(await mw('verify', tenant.c)).toMatchObject({ code: 0, stdout: expect.stringContaining('ok (equal)') });
    expect(await tenant.count('datasets')).toBe(before + 1);
    expect(await tenant.latestDatasetRows()).toBe((await ids()).length);
    const [run] = await tenant.runs();
    expect(run?.trigger).toBe('recovery');
    const { items } = await tenant.api.call<{ items: VerificationResult[] }>('GET', `/v1/customizations/${tenant.c}/verifications`);
    expect(items.some(({ ok }) => !ok)).toBe(true);
    expect(JSON.stringify(items)).not.toContain('hidden story');
    const metrics = await (await fetch(`http://127.0.0.1:${stack.config.settings.MW_DATASET_PORT}/metrics`)).text();
    expect(metrics).toMatch(/mw_invariant_violations_total\{invariant="I1"\} [1-9]/);
  });

  it('detects a dataset bucket that was tampered with, and writes it anew from the table', async () => {
    const keys: string[] = [];
    for await (const { key } of store.list(`tenants/${tenant.tenantId}/${tenant.c}/datasets/buckets/`)) keys.push(key);
    const [latest] = await pool.query<(RowDataPacket & { manifest_key: string; manifest_sha256: string })[]>(
      'SELECT manifest_key, manifest_sha256 FROM modelwright_control.datasets WHERE tenant_id = ? AND customization_id = ? ORDER BY number DESC LIMIT 1',
      [tenant.tenantId, tenant.c],
    );
    const row = latest[0];
    if (!row) throw new Error('no dataset');
    const manifest = JSON.parse(Buffer.from(await store.read({ key: row.manifest_key, sha256: row.manifest_sha256 })).toString('utf8')) as {
      buckets: { ref: { key: string } }[];
    };
    const key = manifest.buckets[0]?.ref.key ?? '';
    expect(keys).toContain(key);
    await store.delete([key]);
    await store.putNew(key, Buffer.from('not what it was'));
    const found = await verify();
    expect(found).toMatchObject({ ok: true, damaged: [{ bucket: 0, repaired: true }] });
    expect(found.healing).toContain('written anew');
    expect(await verify()).toMatchObject({ ok: true, damaged: [] });
  });

  it('finds every dataset exactly what its cut says, although writers go on between its plan and its snapshot', async () => {
    // Nobody starts a run here: datasets are built as a run would build them, for one of the buckets that changed.
    const exact = await LiveTenant.make(stack, pool, 'exact', { mode: 'manual' });
    const key = { tenantId: exact.tenantId, customizationId: exact.c };
    const temporal = createTemporalClient(stack.config);
    const common = { pool, store, catalog: await loadCatalog(), maxTextChars: 1_000, beat: () => undefined };
    const datasets = createDatasetActivities({
      ...common,
      modelsDir: await writeShippedEncoders(stack.home),
      predict: () => Promise.reject(new Error('no version is asked here')),
      changedBuckets: changedBucketsSince({ ...common, tenants: createTenantWorkflows(temporal.client) }),
    });
    // Enough for 32 buckets: what is committed during one build does not touch them all.
    await exact.submit(sentences(0, 20_000));
    await datasets.buildDataset({ ...key, run: 1, dirtyBuckets: null });
    const commits = new Map<string, string>();
    let next = 50_000;
    const writing = new AbortController();
    const writer = (async () => {
      while (!writing.signal.aborted) {
        const [row] = sentences(next, next + 1);
        commits.set(`s${next++}`, await exact.submit([row ?? {}]));
        await sleep(50);
      }
    })();
    const built = [];
    for (let run = 2; run < 7; run++)
      built.push(await datasets.buildDataset({ ...key, run, dirtyBuckets: withBucket(noBuckets, bucketOf(`s${next - 1}`)) }));
    writing.abort();
    await writer;
    await temporal.close();
    expect(commits.size).toBeGreaterThan(20);
    expect(built.some(({ bucketsReused }) => bucketsReused > 0)).toBe(true);
    const reader = new DatasetReader(store);
    for (const { number, cut, manifest } of built) {
      const { buckets } = await reader.manifest(manifest);
      const held = new Set((await Promise.all(buckets.map((bucket) => reader.rows(bucket)))).flat().map(({ id }) => id));
      for (const [id, gtid] of commits) expect(`${number} ${id} ${held.has(id)}`).toBe(`${number} ${id} ${gtidSetContains(cut, gtid)}`);
    }
  });

  it('says that nobody knows while nothing is sensed, and is content when it is again', async () => {
    await stack.pause('change-consumer');
    try {
      await tenant.submit(sentences(500, 503));
      const result = await verify();
      expect(result).toMatchObject({ ok: false, verdict: 'stalled', counts: { missing: 3, unexplained: 0 } });
      expect(result.explanation).toContain('not sensed yet');
      expect(result.healing).toBeNull();
    } finally {
      await stack.resume('change-consumer');
    }
    await settled();
  });
});
