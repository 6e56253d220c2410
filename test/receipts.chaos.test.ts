import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { type ApiClient, createApiClient } from '../cli/api-client.ts';
import type { Page, Receipt } from '../cli/api-types.ts';
import { lagTable, readLag } from '../cli/lag-table.ts';
import { lineageProblems } from '../cli/lineage.ts';
import type { Secrets } from '../platform/config.ts';
import { projectDir } from '../platform/paths.ts';
import { type Pool, type RowDataPacket, commitGtid, createPool } from '../platform/mysql.ts';
import { type LineageFile, type LineageProof, proofProblem } from '../store/lineage-proof.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';

const execute = promisify(execFile);

let stack: TestStack;
let pool: Pool;
let folder: string;
let operator: ApiClient;
let left: LiveTenant;
let right: LiveTenant;
const manual = 'by-hand';

const insert = 'INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ?';
type Row = readonly [tenantId: string, customizationId: string, id: string, label: string];
const rowsOf = (rows: readonly Row[]): unknown[] => [
  rows.map(([t, c, id, label]) => [t, c, id, JSON.stringify({ text: `Row ${id} about ${label}`, label })]),
];

/** What another program does: one transaction, straight in MySQL. */
async function commit(...statements: readonly [sql: string, values: readonly unknown[]][]): Promise<string> {
  const connection = await pool.getConnection();
  try {
    await connection.beginTransaction();
    for (const [sql, values] of statements) await connection.query(sql, [...values]);
    const [header] = await connection.query('COMMIT');
    const gtid = commitGtid(header);
    if (gtid === null) throw new Error('the transaction has no GTID');
    return gtid;
  } finally {
    connection.release();
  }
}
const reasonOf = (tenant: LiveTenant, gtid: string): Promise<string> =>
  eventually('a reason', async () => (await tenant.receipt(gtid)).reason ?? null, 120_000);

/** `mw` as a person runs it; its status and what it printed. */
async function mw(tenant: LiveTenant, ...args: readonly string[]): Promise<{ code: number; stdout: string }> {
  const env = { ...stack.env, MW_URL: tenant.api.url, MW_KEY: keys.get(tenant) ?? '' };
  try {
    const { stdout } = await execute(process.execPath, [join(projectDir, 'cli/main.ts'), ...args], { env });
    return { code: 0, stdout };
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string };
    return { code, stdout };
  }
}
const keys = new Map<LiveTenant, string>();

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames });
  pool = createPool(stack.config);
  folder = await mkdtemp(join(tmpdir(), 'mw-receipts-'));
  operator = createApiClient(`http://127.0.0.1:${stack.config.settings.MW_API_PORT}`, stack.config.operatorKey);
  left = await LiveTenant.make(stack, pool, 'left');
  right = await LiveTenant.make(stack, pool, 'right');
  for (const tenant of [left, right])
    keys.set(tenant, (await operator.call<{ key: string }>('POST', `/v1/tenants/${tenant.tenantId}/keys`, {})).key);
  await left.api.call('POST', '/v1/customizations', {
    id: manual,
    name: 'By hand',
    businessModel: 'text-classification',
    policy: { mode: 'manual' },
  });
});
afterAll(async () => {
  await pool?.end();
  await stack?.remove();
  if (folder) await rm(folder, { recursive: true, force: true });
});

describe('a receipt', () => {
  it('of one transaction by another program over two tenants shows each its own part, and the operator all', async () => {
    const rows = (t: string, c: string): Row[] => sentences(0, 60).map(({ id, label }) => [t, c, id, label]);
    const gtid = await commit(
      [insert, rowsOf(rows('left', left.c))],
      [insert, rowsOf(rows('left', manual))],
      [insert, rowsOf(rows('right', right.c))],
    );
    await expect(
      createApiClient(left.api.url, keys.get(right) ?? '').call('GET', `/v1/receipts/${gtid.replace(/\d+$/, '999999')}`),
    ).rejects.toMatchObject({ status: 404 });
    const watched = mw(right, 'receipt', gtid, '--watch');
    const stream = await fetch(`${right.api.url}/v1/receipts/${gtid}/events`, { headers: { authorization: `Bearer ${keys.get(right)}` } });
    const served = await right.served(gtid);
    expect(served).toMatchObject({ customizations: ['stories'], tables: ['modelwright.examples'], version: 1, run: 1 });
    // The stream began before the commit was sensed, or it was refused as unknown: then it is asked for again.
    const text = stream.ok
      ? await stream.text()
      : await (
          await fetch(`${right.api.url}/v1/receipts/${gtid}/events`, { headers: { authorization: `Bearer ${keys.get(right)}` } })
        ).text();
    const events = text
      .split('\n\n')
      .filter((event) => event.startsWith('data: '))
      .map((event) => JSON.parse(event.slice(6)) as Receipt);
    expect(events.at(-1)?.stations.at(-1)?.at).toBe(served.stations.at(-1)?.at);
    const { code, stdout } = await watched;
    expect(code).toBe(0);
    for (const station of ['committed', 'sensed', 'dataset', 'training', 'gate', 'published', 'serving']) expect(stdout).toContain(station);
    expect(stdout).toContain('60 inserted');

    const mine = await left.receipt(gtid);
    expect([...(mine.customizations ?? [])].sort()).toEqual([manual, 'stories']);
    expect(JSON.stringify(mine)).not.toMatch(/"right|right\//);
    const all = await operator.call<Receipt & { parts: { tenantId: string; customizationId: string }[] }>('GET', `/v1/receipts/${gtid}`);
    expect(all.parts.map(({ tenantId, customizationId }) => `${tenantId}/${customizationId}`).sort()).toEqual([
      `left/${manual}`,
      'left/stories',
      'right/stories',
    ]);
    await eventually('left to serve it', async () => ((await left.runs())[0]?.state === 'succeeded' ? true : null), 180_000);
  });

  it('of a customization in mode manual says that only a person starts a run, and ends the watching with status 1', async () => {
    const gtid = await commit([insert, rowsOf([['left', manual, 'm1', 'food']])]);
    expect(await reasonOf(left, gtid)).toContain('mode is manual');
    const { code, stdout } = await mw(left, 'receipt', gtid, '--watch');
    expect(code).toBe(1);
    expect(stdout).toContain('mode is manual');
    await pool.query(
      `INSERT INTO modelwright_control.schema_changes
       (tenant_id, customization_id, change_id, table_name, kind, effect, reason, schema_version, gtid, happened_at)
       VALUES ('left', ?, 'x', 't', 'column_dropped', 'held', 'column label was dropped: re-map it', 2, '', UTC_TIMESTAMP(6))`,
      [manual],
    );
    expect(await reasonOf(left, gtid)).toContain('column label was dropped');
    await pool.query("DELETE FROM modelwright_control.schema_changes WHERE tenant_id = 'left'");
  });

  it('of a change of settings alone says that no run follows, and names the table', async () => {
    const { commit: gtid } = await left.api.call<{ commit: string }>('PATCH', `/v1/customizations/${left.c}`, { name: 'Other name' });
    expect(await reasonOf(left, gtid)).toContain('settings only');
    expect(await left.receipt(gtid)).toMatchObject({ tables: ['modelwright.customizations'] });
  });

  it('of edits that cancel each other out says that nothing changed', async () => {
    const set =
      'UPDATE modelwright.examples SET content = JSON_SET(content, ?, ?) WHERE tenant_id = ? AND customization_id = ? AND example_id = ?';
    const there = await commit([set, ['$.label', 'sport', 'left', left.c, 's0']]);
    const back = await commit([set, ['$.label', 'food', 'left', left.c, 's0']]);
    expect(await reasonOf(left, back)).toContain('left the rows equal to dataset 1');
    expect(await reasonOf(left, there)).toContain('left the rows equal to dataset 1');
    expect((await left.runs()).length).toBe(1);
  });

  it('of a commit whose run was cancelled says so, and follows the next run', async () => {
    const gtid = await commit([insert, rowsOf(sentences(100, 130).map(({ id, label }) => ['left', left.c, id, label]))]);
    await left.reaches(['training'], 2);
    await left.api.call('POST', `/v1/customizations/${left.c}/runs/2:cancel`, {});
    expect(await reasonOf(left, gtid)).toMatch(/run 2 cancelled/);
    await left.api.call('POST', `/v1/customizations/${left.c}:retrain`, {});
    const served = await eventually(
      'the next run to serve it',
      async () => {
        const receipt = await left.receipt(gtid);
        return receipt.stations.at(-1)?.at ? receipt : null;
      },
      180_000,
    );
    expect(served).toMatchObject({ run: 3, reason: null });
  });

  it('says what is not sensed yet, since when, and what the server knows of a commit that nobody claims', async () => {
    await stack.pause('change-consumer');
    let own: string;
    try {
      own = await left.submit(sentences(200, 201));
      const other = await commit([insert, rowsOf([['right', right.c, 'unseen', 'food']])]);
      await eventually('the wait to be told', async () => ((await left.receipt(own)).stations[1]?.detail ? true : null), 30_000);
      expect((await left.receipt(own)).stations[1]?.detail).toMatch(/not sensed since \d+ s/);
      await expect(right.receipt(other)).rejects.toMatchObject({ status: 404 });
      const told = await operator.call<Receipt>('GET', `/v1/receipts/${other}`);
      expect(told.stations[0]?.detail).toBe('executed by this server');
      expect(told.stations[1]?.detail).toContain('not sensed');
      await expect(operator.call('GET', `/v1/receipts/${other.replace(/\d+$/, '999999')}`)).rejects.toMatchObject({ status: 404 });
    } finally {
      await stack.resume('change-consumer');
    }
    await left.served(own);
    await expect(left.receipt('not-a-gtid')).rejects.toMatchObject({ status: 400 });
    await expect(left.receipt('3e11fa47-71ca-11e1-9e33-c80aa9429562:batch:7')).rejects.toMatchObject({ status: 404 });
  });

  it('of a transaction whose GTID has a tag is like any other', async () => {
    const secrets = JSON.parse(await readFile(stack.config.paths.secretsFile, 'utf8')) as Secrets;
    const root = await mysql.createConnection({ ...stack.config.mysql, user: 'root', password: secrets.mysqlRootPassword });
    await root.query("SET SESSION gtid_next = 'AUTOMATIC:batch'");
    await root.query(insert, rowsOf([['left', manual, 'tagged', 'food']]));
    const [executed] = await root.query<RowDataPacket[]>('SELECT @@server_uuid AS uuid');
    await root.end();
    const receipt = await eventually('it to be sensed', async () => left.receipt(`${String(executed[0]?.['uuid'])}:Batch:1`), 30_000);
    expect(receipt.stations[1]?.detail).toBe('1 inserted');
  });

  it('outlives its customization, and says that nothing will learn it any more', async () => {
    const gtid = await commit([insert, rowsOf([['left', manual, 'm2', 'food']])]);
    await reasonOf(left, gtid);
    const { commit: gone } = await left.api.call<{ commit: string }>('DELETE', `/v1/customizations/${manual}`);
    for (const one of [gtid, gone]) expect(await reasonOf(left, one)).toContain('was deleted');
  });
});

describe('lineage', () => {
  const lineageOf = async (id: string): Promise<readonly LineageProof[]> =>
    (await left.api.call<Page<LineageProof>>('GET', `/v1/customizations/${left.c}/examples/${id}/models`)).items;

  it('names every example that a version learned, page by page', async () => {
    const ids: string[] = [];
    for (let cursor = ''; ;) {
      const page = await left.api.call<Page<{ id: string; digest: string }>>(
        'GET',
        `/v1/customizations/${left.c}/models/1/examples?limit=7${cursor}`,
      );
      ids.push(...page.items.map(({ id }) => id));
      expect(page.items.length).toBeLessThanOrEqual(7);
      if (page.nextCursor === null) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(ids.sort()).toEqual(
      sentences(0, 60)
        .map(({ id }) => id)
        .sort(),
    );
  });

  it('proves to anybody with SHA-256 that a version learned an example, also after it was deleted', async () => {
    const versions = await left.api.call<Page<{ version: number; dataset: { digest: string } }>>(
      'GET',
      `/v1/customizations/${left.c}/models`,
    );
    const before = await lineageOf('s5');
    expect(before.map(({ version }) => version)).toEqual(versions.items.map(({ version }) => version));
    for (const { version, dataset } of before)
      expect(dataset.digest).toBe(versions.items.find((one) => one.version === version)?.dataset.digest);
    expect(await lineageOf('s100')).toHaveLength(before.length - 1);
    await left.api.call('DELETE', `/v1/customizations/${left.c}/examples/s5`);
    expect(await lineageOf('s5')).toEqual(before);
    expect(await lineageOf('never-there')).toEqual([]);

    const path = join(folder, 'proof.json');
    expect((await mw(left, 'lineage', 's5', '--customization', left.c, '--out', path)).code).toBe(0);
    const file = JSON.parse(await readFile(path, 'utf8')) as LineageFile;
    expect(file.items.length).toBe(before.length);
    expect((await mw(left, 'lineage', 'verify', path)).code).toBe(0);
    const independent = join(projectDir, 'test', 'support', 'verify_lineage.py');
    const python = stack.config.paths.trainerPython;
    expect((await execute(python, [independent, path])).stdout).toContain('ok');

    const [item] = file.items;
    if (!item) throw new Error('no proof');
    const flipped = (digest: string): string => (digest.startsWith('0') ? '1' : '0') + digest.slice(1);
    const [step, ...rest] = item.proof;
    const tampered: LineageProof[] = [
      { ...item, leaf: { ...item.leaf, digest: flipped(item.leaf.digest) } },
      { ...item, dataset: { ...item.dataset, digest: flipped(item.dataset.digest) } },
      { ...item, proof: rest },
      ...(step ? [{ ...item, proof: [{ ...step, side: step.side === 'left' ? ('right' as const) : ('left' as const) }, ...rest] }] : []),
    ];
    const badPath = join(folder, 'bad.json');
    for (const bad of tampered) {
      expect(proofProblem(bad)).not.toBeNull();
      await writeFile(badPath, JSON.stringify({ ...file, items: [bad] }));
      await expect(execute(python, [independent, badPath])).rejects.toMatchObject({ code: 1 });
    }
    expect((await mw(left, 'lineage', 'verify', badPath)).code).toBe(1);
    // The line itself, made by hand as the documentation says it.
    const line = join(folder, 'line.json');
    await writeFile(line, `${JSON.stringify({ text: 'Row s5 about money', label: 'money', id: 's5', split: item.leaf.split })}\n`);
    expect(lineageProblems(path, line).problems).toEqual([]);
    await writeFile(line, `${JSON.stringify({ text: 'Row s5 about sport', label: 'money', id: 's5', split: item.leaf.split })}\n`);
    expect(lineageProblems(path, line).problems).toHaveLength(before.length);
  });
});

describe('lag', () => {
  const metrics = async (): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${stack.config.settings.MW_ORCHESTRATOR_PORT}/metrics`)).text();
  const counted = (text: string, name: string): number => Number(new RegExp(`^${name}_count (\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const served = async (): Promise<number> => {
    const [rows] = await pool.query<(RowDataPacket & { n: string })[]>(
      'SELECT COUNT(*) AS n FROM modelwright_control.sensed_commits WHERE dataset_at IS NOT NULL AND serving_at IS NOT NULL AND serving_at > dataset_at',
    );
    return Number(rows[0]?.n);
  };

  it('is observed once a commit, and not again by a process that was killed and came back', async () => {
    await eventually(
      'the commits to be observed',
      async () => (counted(await metrics(), 'mw_commit_to_serving_seconds') > 0 ? true : null),
      60_000,
    );
    await eventually(
      'as many observations as commits',
      async () => (counted(await metrics(), 'mw_commit_to_serving_seconds') === (await served()) ? true : null),
      120_000,
    );
    const before = await served();
    stack.kill('orchestrator', 'SIGKILL');
    await eventually(
      'the orchestrator to measure again',
      async () => ((await metrics()).includes('mw_lag_measured_timestamp_seconds 1') ? true : null),
      60_000,
    );
    const after = counted(await metrics(), 'mw_commit_to_serving_seconds');
    expect(after).toBeLessThanOrEqual((await served()) - before);
  });

  it('is shown with the objective of the customization, and an objective that is missed burns', async () => {
    await left.api.call('PATCH', `/v1/customizations/${left.c}`, { policy: { servingSloMs: 10 } });
    const [item] = await eventually(
      'the objective to be judged',
      async () => {
        const items = (await readLag(() => left.api))?.filter(({ customizationId }) => customizationId === left.c) ?? [];
        return items[0] && items[0].slo.state !== 'none' ? items : null;
      },
      30_000,
    );
    if (!item) throw new Error('no lag');
    expect(['missed', 'burning']).toContain(item.slo.state);
    expect(lagTable([item])).toContain(`left/${left.c}`);
    const { lag } = await left.api.call<{ lag: { ms: number; slo: { ms: number } } }>('GET', `/v1/customizations/${left.c}/status`);
    expect(lag).toMatchObject({ slo: { ms: 10 } });
    await eventually(
      'the burn rate in the metrics',
      async () => (/mw_slo_burn_rate\{tenant="left",customization="stories",window="long"\} [1-9]/.test(await metrics()) ? true : null),
      30_000,
    );
    expect((await readLag(() => operator))?.length).toBeGreaterThanOrEqual(2);
    expect((await readLag(() => right.api))?.every(({ tenantId }) => tenantId === 'right')).toBe(true);
  });
});
