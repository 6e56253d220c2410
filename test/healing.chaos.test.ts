import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createApiClient } from '../cli/api-client.ts';
import { readSensing, sensingLines } from '../cli/sensing-table.ts';
import { tenantWorkflowId } from '../core/ids.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { type TenantStatus, messageNames } from '../core/tenant-messages.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import type { SensingReport } from '../platform/sensing-report.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';
import { SensingFaults } from './support/sensing-faults.ts';
import { datasetToEqualTable } from './support/table-equals-dataset.ts';

/** Faults of the log, the connector and the topics, each with deletions in the gap: what the dataset holds in the end is what a SELECT sees. */
const detectedWithinMs = 30_000;
const rows = sentences(0, 60);

let stack: TestStack;
let pool: Pool;
let faults: SensingFaults;
let tenant: LiveTenant;
let other: LiveTenant;

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames });
  pool = createPool(stack.config);
  faults = new SensingFaults(stack, pool);
  tenant = await LiveTenant.make(stack, pool, 'gap', { quietPeriodMs: 500 });
  other = await LiveTenant.make(stack, pool, 'bystander', { quietPeriodMs: 500 });
  await tenant.submit(rows);
  await other.submit(rows);
  await datasetToEqualTable(stack, pool, tenant);
  await datasetToEqualTable(stack, pool, other);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});
afterEach(async () => await faults.calm());

let made = 60;

/** Inserts, updates and deletes that the log may never tell of, each in commits of their own. */
async function changeUnseen(): Promise<void> {
  const from = made;
  made += 4;
  await tenant.submit([...sentences(from, made), { ...rows[from % 20], text: `Edited when ${made} rows had been made, about soup.` }]);
  await pool.query(
    'DELETE FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? AND example_id IN (SELECT * FROM (SELECT example_id FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? ORDER BY created_at, example_id LIMIT 2) oldest)',
    [tenant.tenantId, tenant.c, tenant.tenantId, tenant.c],
  );
}

/** Quiet periods of the tenant's customizations, as its workflow knows them. */
async function policies(): Promise<Record<string, number>> {
  const { client, close } = createTemporalClient(stack.config);
  try {
    const status = await client.workflow.getHandle(tenantWorkflowId(tenant.tenantId)).query<TenantStatus>(messageNames.getStatus);
    const known = status.customizations.map(({ customizationId, policy }) => [customizationId, policy.quietPeriodMs] as const);
    return Object.fromEntries(known.sort(([a], [b]) => (a < b ? -1 : 1)));
  } finally {
    await close();
  }
}

/** The way is whole again. What the commit changed is in a dataset when the next test, or the last, compares. */
async function sensedAgain(): Promise<void> {
  const commit = await tenant.submit(sentences(made, made + 1));
  made += 1;
  await eventually('a later commit to be sensed', async () => ((await tenant.receipt(commit)).stations[1]?.at ? true : null), 60_000);
}

describe('the binary log', () => {
  it('purged past the connector while it is down is found out, and deletions and settings of the gap are known', async () => {
    const make = async (id: string): Promise<unknown> =>
      await tenant.api.call('POST', '/v1/customizations', { id, name: id, businessModel: 'text-classification' });
    await make('doomed');
    await eventually('the workflow to know of it', async () => ('doomed' in (await policies()) ? true : null), 30_000);
    await faults.connectorDown();
    await changeUnseen();
    await make('born');
    await tenant.api.call('DELETE', '/v1/customizations/doomed');
    await tenant.api.call('PATCH', `/v1/customizations/${tenant.c}`, { policy: { quietPeriodMs: 600 } });
    await faults.asRoot(async (root) => {
      await root.query('FLUSH BINARY LOGS');
      const [logs] = await root.query('SHOW BINARY LOGS');
      await root.query('PURGE BINARY LOGS TO ?', [(logs as { Log_name: string }[]).at(-1)?.Log_name]);
    });
    const sinceMs = Date.now();
    await faults.connect.resume('modelwright');
    const { detectedMs, action } = await faults.healed('binlog_purged', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    expect(action).toContain('2 tenants told to compare');
    await datasetToEqualTable(stack, pool, tenant);
    await eventually(
      'the workflow to know the settings',
      async () => (JSON.stringify(await policies()) === JSON.stringify({ born: 30_000, [tenant.c]: 600 }) ? true : null),
      30_000,
    );
    // Those without a difference train nothing.
    expect(await other.count('runs')).toBe(1);
    await sensedAgain();
  });

  it('reset under a running connector starts a new epoch: no later commit is taken for an old one', async () => {
    const sinceMs = Date.now();
    await faults.asRoot(async (root) => await root.query('RESET BINARY LOGS AND GTIDS'));
    await changeUnseen();
    const { detectedMs } = await faults.healed('binlog_reset', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    await datasetToEqualTable(stack, pool, tenant);
    expect(await other.count('runs')).toBe(1);
    await sensedAgain();
    const commit = await tenant.submit(sentences(made, made + 1));
    made += 1;
    const receipt = await eventually(
      'the receipt of a commit of the new epoch',
      async () => {
        const now = await tenant.receipt(commit);
        return now.stations[3]?.at ? now : null;
      },
      90_000,
    );
    expect(Date.parse(receipt.stations[3]?.at ?? '')).toBeGreaterThan(sinceMs);
    await datasetToEqualTable(stack, pool, tenant);
  });
});

describe('settings of the binary log', () => {
  it('changed at run time are named with the statement that mends them, and tables are compared when they are right again', async () => {
    const sinceMs = Date.now();
    await faults.asRoot(async (root) => await root.query("SET GLOBAL binlog_format = 'STATEMENT'"));
    // Its session began while the setting was wrong: the log has the statement and no row.
    await faults.asRoot(async (root) => {
      await root.query("INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES (?, ?, 'unlogged', ?)", [
        tenant.tenantId,
        tenant.c,
        JSON.stringify({ text: 'No row event tells of it: soup.', label: 'food' }),
      ]);
    });
    const wrong = await eventually(
      'the setting to be named',
      async () => (await faults.conditions()).find((one) => one.code === 'binlog_settings_wrong') ?? null,
      60_000,
    );
    expect(wrong.detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    expect(wrong.detail).toContain('SET PERSIST binlog_format = ROW');
    await faults.asRoot(async (root) => await root.query("SET GLOBAL binlog_format = 'ROW'"));
    await faults.healed('binlog_settings_wrong', sinceMs);
    await datasetToEqualTable(stack, pool, tenant);
  });
});

describe('the binary log, watched by nobody', () => {
  it('reset and grown past its old numbers is found out by the next watch', async () => {
    // What is remembered of a log before: it is at a later file than the one that a reset begins with.
    await faults.asRoot(async (root) => await root.query('FLUSH BINARY LOGS'));
    await eventually(
      'the new file to be remembered',
      async () => {
        const [marks] = await pool.query(
          "SELECT mark->>'$.log.file' AS file FROM modelwright_control.sensing_marks WHERE subject = 'source'",
        );
        return (marks as { file: string }[])[0]?.file === 'binlog.000001' ? null : true;
      },
      30_000,
    );
    await stack.pause('change-consumer');
    await faults.asRoot(async (root) => {
      const [before] = await root.query('SELECT @@global.gtid_executed AS executed');
      const commits = Number(/(\d+)$/.exec((before as { executed: string }[])[0]?.executed ?? '')?.[1] ?? 0);
      await root.query('RESET BINARY LOGS AND GTIDS');
      await root.query('CREATE DATABASE IF NOT EXISTS scratch');
      await root.query('CREATE TABLE IF NOT EXISTS scratch.numbers (n INT)');
      for (let n = 0; n < commits + 20; n++) await root.query('INSERT INTO scratch.numbers VALUES (?)', [n]);
    });
    await changeUnseen();
    const sinceMs = Date.now();
    await stack.resume('change-consumer');
    const { detectedMs } = await faults.healed('binlog_reset', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    await datasetToEqualTable(stack, pool, tenant);
    expect(await other.count('runs')).toBe(1);
    await sensedAgain();
  });
});

describe('the connector', () => {
  it('deleted by hand is there again and goes on where it was', async () => {
    const sinceMs = Date.now();
    const deleted = await fetch(`${stack.config.connectUrl}/connectors/modelwright`, { method: 'DELETE' });
    expect(deleted.status).toBe(204);
    await changeUnseen();
    const { detectedMs, action } = await faults.healed('connector_missing', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    expect(action).toContain('goes on where it was');
    await datasetToEqualTable(stack, pool, tenant);
  });

  it('goes on after MySQL was killed, and a transaction that was open then never appears', async () => {
    const open = await pool.getConnection();
    await open.query('START TRANSACTION');
    await open.query("INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES (?, ?, 'phantom', ?)", [
      tenant.tenantId,
      tenant.c,
      JSON.stringify({ text: 'It was never committed.', label: 'food' }),
    ]);
    stack.kill('mysql', 'SIGKILL');
    open.destroy();
    await eventually('MySQL to be back', async () => await pool.query('SELECT 1'), 60_000);
    await eventually('a write', async () => await changeUnseen().then(() => true), 60_000);
    await datasetToEqualTable(stack, pool, tenant);
    const [phantom] = await pool.query("SELECT 1 FROM modelwright.examples WHERE example_id = 'phantom'");
    expect(phantom).toEqual([]);
    await faults.calm();
    await sensedAgain();
  });

  it('whose task failed is restarted until it can run, and an outage of MySQL is told when MySQL is back', async () => {
    const sinceMs = Date.now();
    await faults.asRoot(async (root) => await root.query("ALTER USER 'debezium'@'%' ACCOUNT LOCK"));
    await stack.pause('mysql');
    await sleep(10_000);
    await stack.resume('mysql');
    await changeUnseen();
    const outage = await faults.healed('mysql_unreachable', sinceMs);
    expect(outage.detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    await eventually(
      'the failed task to be named',
      async () => (await faults.conditions()).find((one) => one.code === 'connector_task_failed' && one.state !== 'healed') ?? null,
      60_000,
    );
    await faults.asRoot(async (root) => await root.query("ALTER USER 'debezium'@'%' ACCOUNT UNLOCK"));
    await faults.healed('connector_task_failed', sinceMs);
    await datasetToEqualTable(stack, pool, tenant);
    await sensedAgain();
  });

  it('without its history of structures gets a new one, even if whoever heals it is killed in the middle', async () => {
    const sinceMs = Date.now();
    await faults.withAdmin(async (admin) => await admin.deleteTopics({ topics: [`_schema_history_${faults.prefix}`] }));
    await changeUnseen();
    await eventually(
      'the condition to be seen',
      async () => (await faults.conditions()).find((one) => one.code === 'schema_history_missing') ?? null,
      60_000,
    );
    stack.kill('change-consumer', 'SIGKILL');
    const { detectedMs } = await faults.healed('schema_history_missing', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    await faults.connect.restart('modelwright');
    await datasetToEqualTable(stack, pool, tenant);
    await sensedAgain();
    expect(await other.count('runs')).toBe(1);
  });

  it('whose worker is killed again and again loses nothing', async () => {
    const endMs = Date.now() + 40_000;
    while (Date.now() < endMs) {
      stack.kill('connect', 'SIGKILL');
      await changeUnseen();
      await sleep(3_000);
    }
    expect(stack.status().processes.find(({ name }) => name === 'connect')?.restarts).toBeGreaterThan(1);
    await datasetToEqualTable(stack, pool, tenant, 240_000);
    await faults.calm();
    await sensedAgain();
  });

  it('and the consumer go on after the broker between them was killed again and again', async () => {
    for (let i = 0; i < 3; i++) {
      stack.kill('kafka', 'SIGKILL');
      await changeUnseen();
      await sleep(4_000);
      await changeUnseen();
    }
    expect(stack.status().processes.find(({ name }) => name === 'kafka')?.restarts).toBeGreaterThan(1);
    await datasetToEqualTable(stack, pool, tenant, 240_000);
    await faults.calm();
    await sensedAgain();
  });
});

describe('the change topic', () => {
  const topic = (): string => `${faults.prefix}.modelwright.examples`;

  it('deleted while changes go on is created again, and what it held is compared', async () => {
    const sinceMs = Date.now();
    await changeUnseen();
    await faults.withAdmin(async (admin) => await admin.deleteTopics({ topics: [topic()] }));
    await changeUnseen();
    const { detectedMs } = await faults.healed('topic_missing', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    await datasetToEqualTable(stack, pool, tenant);
    await sensedAgain();
  });

  it('deleted and created again while nobody reads it is found out by its offsets', async () => {
    await stack.pause('change-consumer');
    await changeUnseen();
    await sleep(2_000);
    await faults.connectorDown();
    await faults.withAdmin(async (admin) => {
      await admin.deleteTopics({ topics: [topic()] });
      await eventually('the topic to be gone', async () => ((await admin.listTopics()).includes(topic()) ? null : true), 30_000);
      await admin.createTopics({ topics: [{ topic: topic(), numPartitions: 4 }], waitForLeaders: true });
    });
    await faults.connect.resume('modelwright');
    const sinceMs = Date.now();
    await stack.resume('change-consumer');
    const { detectedMs } = await faults.healed('topic_recreated', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    await datasetToEqualTable(stack, pool, tenant);
    await sensedAgain();
  });

  it('whose retention ate unread events is compared, never read from the latest', async () => {
    await stack.pause('change-consumer');
    await changeUnseen();
    await sleep(2_000);
    await faults.withAdmin(async (admin) => {
      const offsets = await admin.fetchTopicOffsets(topic());
      await admin.deleteTopicRecords({
        topic: topic(),
        partitions: offsets.filter(({ low, high }) => low !== high).map(({ partition, high }) => ({ partition, offset: high })),
      });
    });
    const sinceMs = Date.now();
    await stack.resume('change-consumer');
    const { detectedMs } = await faults.healed('offsets_out_of_range', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    await datasetToEqualTable(stack, pool, tenant);
    expect(await other.count('runs')).toBe(1);
    await sensedAgain();
  });
});

describe('the operator', () => {
  it('sees what was wrong, what was done, and where connectors and source stand; a tenant does not', async () => {
    await datasetToEqualTable(stack, pool, tenant);
    const url = `http://127.0.0.1:${stack.config.settings.MW_API_PORT}`;
    const report = await createApiClient(url, stack.config.operatorKey).call<SensingReport>('GET', '/v1/sensing');
    expect(report.conditions.length).toBeGreaterThan(3);
    for (const { state, action, endedAt, remedy } of report.conditions) {
      expect([state, endedAt === null]).toEqual(['healed', false]);
      expect(`${action}${remedy}`).not.toContain('null');
    }
    expect(report.connectors).toMatchObject([
      { name: 'modelwright', state: 'RUNNING', position: { file: expect.stringContaining('binlog.') } },
    ]);
    expect(report.watermarks.epoch).toBe(2);
    await expect(tenant.api.call('GET', '/v1/sensing')).rejects.toMatchObject({ code: 'forbidden' });
    const lines = sensingLines(await readSensing(stack.config));
    expect(lines[0]).toMatch(/^connector modelwright: running at binlog\./);
    expect(lines).toContain('sensing: nothing is wrong');
    const metrics = await fetch(`http://127.0.0.1:${stack.config.settings.MW_CHANGE_CONSUMER_PORT}/metrics`);
    const text = await metrics.text();
    expect(text).toMatch(/mw_sensing_healed_total\{code="offsets_out_of_range"\} 1/);
    expect(text).not.toMatch(/^mw_sensing_condition\{/m);
  });
});
