import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serviceNames } from '../core/process-names.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';
import { SensingFaults } from './support/sensing-faults.ts';
import { datasetToEqualTable, tableAgainstDataset } from './support/table-equals-dataset.ts';
import { TwoMysqls } from './support/two-mysqls.ts';

/** Faults around a source that goes on: a failover, snapshots that race writers, a consumer and a Temporal that are away for a while. */
const detectedWithinMs = 30_000;

let pair: TwoMysqls;
let stack: TestStack;
let pool: Pool;
let faults: SensingFaults;
let tenant: LiveTenant;
let made = 60;
const started: (() => Promise<void>)[] = [];

beforeAll(async () => {
  pair = await TwoMysqls.start();
  started.push(() => pair.remove());
  stack = await startTestStack({
    engines: ['kafka', 'connect', 'temporal', 's3'],
    services: serviceNames,
    env: { MW_HOME: pair.home, MW_MYSQL_PORT: String(pair.port) },
  });
  started.push(() => stack.remove());
  pool = createPool(stack.config);
  started.push(() => pool.end());
  faults = new SensingFaults(stack, pool);
  tenant = await LiveTenant.make(stack, pool, 'drill', { quietPeriodMs: 500 });
  await tenant.submit(sentences(0, 60));
  await datasetToEqualTable(stack, pool, tenant);
});
// Servers that the test starts by itself must not outlive a stack that did not start.
afterAll(async () => {
  for (const stop of started.reverse()) await stop();
});

/** Writes until it is told to stop: inserts, edits and deletions, one commit each. */
function writer(): { readonly stop: () => Promise<void> } {
  const stopping = new AbortController();
  const writing = (async () => {
    for (let i = 0; !stopping.signal.aborted; i++) {
      made += 1;
      await tenant.submit(sentences(made, made + 1));
      if (i % 3 === 0) await tenant.submit([{ ...sentences(made, made + 1)[0], text: `Edit ${i} after ${made} rows is about money.` }]);
      if (i % 4 === 0) await tenant.api.call('DELETE', `/v1/customizations/${tenant.c}/examples/s${made}`);
      await sleep(100);
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      await writing;
    },
  };
}

describe('a snapshot that races writers', () => {
  it('adds no row, loses none, and is compared when it is over', async () => {
    const sinceMs = Date.now();
    const racing = writer();
    const [connector] = await faults.connect.connectors();
    await faults.connect.putConfig('modelwright', { ...connector?.config, 'snapshot.mode': 'always' });
    await faults.healed('snapshot_taken', sinceMs);
    await racing.stop();
    await datasetToEqualTable(stack, pool, tenant, 240_000);
    await faults.connect.putConfig('modelwright', { ...connector?.config });
    await faults.calm();
    expect(await tableAgainstDataset(stack, pool, tenant)).toEqual({ missing: [], extra: [], different: [] });
  });
});

describe('a change consumer', () => {
  it('that was stopped longer than its session and goes on ends with the table', async () => {
    const pid = stack.status().processes.find(({ name }) => name === 'change-consumer')?.pid;
    stack.kill('change-consumer', 'SIGSTOP');
    try {
      const racing = writer();
      await sleep(10_000);
      await racing.stop();
      expect((await tableAgainstDataset(stack, pool, tenant)).missing.length).toBeGreaterThan(10);
    } finally {
      stack.kill('change-consumer', 'SIGCONT');
    }
    await datasetToEqualTable(stack, pool, tenant, 240_000);
    expect(stack.status().processes.find(({ name }) => name === 'change-consumer')?.pid).toBe(pid);
  });

  it('that Temporal refuses says so, parks nothing and hands everything over afterwards', async () => {
    const sinceMs = Date.now();
    await stack.pause('temporal');
    try {
      await tenant.submit(sentences(made, (made += 3)));
      await sleep(30_000);
    } finally {
      await stack.resume('temporal');
    }
    const { detectedMs } = await faults.healed('consumer_behind', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs + 5_000);
    await datasetToEqualTable(stack, pool, tenant, 240_000);
    const [dead] = await faults.withAdmin(async (admin) => await admin.fetchTopicOffsets(`${faults.prefix}.dead-letter`));
    expect(dead?.high).toBe('0');
  });
});

describe('a failover', () => {
  it('to a replica whose GTIDs continue is named, and nothing is lost, read twice or begun anew', async () => {
    await pair.replicated();
    const racing = writer();
    await sleep(2_000);
    await racing.stop();
    await pair.replicated();
    const sinceMs = Date.now();
    await pair.failOver();
    await eventually('a write on the new server', async () => await tenant.submit(sentences(made, made + 3)).then(() => true), 60_000);
    made += 3;
    await pool.query("DELETE FROM modelwright.examples WHERE tenant_id = ? AND example_id IN ('s0', 's1')", [tenant.tenantId]);
    const { detectedMs } = await faults.healed('server_changed', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    await datasetToEqualTable(stack, pool, tenant, 240_000);
    await faults.calm();
    const commit = await tenant.submit(sentences(made, (made += 1)));
    await eventually('a later commit to be sensed', async () => ((await tenant.receipt(commit)).stations[1]?.at ? true : null), 60_000);
    await datasetToEqualTable(stack, pool, tenant, 240_000);
    const found = (await faults.conditions()).filter((one) => one.detectedMs >= sinceMs).map(({ code }) => code);
    expect(found).not.toContain('binlog_reset');
    expect(found).not.toContain('binlog_purged');
  });
});
