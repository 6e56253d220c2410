import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangeDigest } from '../../core/change-digest.ts';
import { listBuckets, noBuckets, unionBuckets } from '../../core/dirty-buckets.ts';
import { createPool } from '../../platform/mysql.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { startConsumer } from '../support/consumer.ts';
import { examplesByTenant, insertExamples, sensedByTenant } from '../support/example-rows.ts';
import { judge } from '../support/figures.ts';
import { cpuMicroseconds } from '../support/process-usage.ts';

// (c) Imports of 1,000 rows by each of many tenants, ten at a time, through the real chain: every digest is right, and there are few.
// `node bench/sensing/digests.ts [TENANTS]`.

const tenants = Number(process.argv[2] ?? 200);
const rowsPerTenant = 1_000;
const rowsPerCommit = 500;
const writers = 10;
const rows = tenants * rowsPerTenant;

const stack = await startTestStack({ engines: ['mysql', 'kafka', 'connect', 'temporal'] });
const pool = createPool(stack.config, { connectionLimit: writers + 1 });
const digests: ChangeDigest[] = [];
const consumer = await startConsumer(stack.config, 'digests', { accepted: (digest) => void digests.push(digest) });
try {
  const fromCpu = process.cpuUsage();
  const pidOf = (name: string): number => stack.status().processes.find((process) => process.name === name)?.pid ?? 0;
  const temporalCpu = cpuMicroseconds(pidOf('temporal'));
  const fromMs = performance.now();
  let next = 0;
  const write = async (): Promise<void> => {
    for (let tenant = next++; tenant < tenants; tenant = next++)
      for (let from = 0; from < rowsPerTenant; from += rowsPerCommit)
        await insertExamples(pool, `tenant-${tenant}`, from, from + rowsPerCommit);
  };
  await Promise.all(Array.from({ length: writers }, write));
  const counted = (): number => digests.reduce((sum, { customizations }) => sum + (customizations['c']?.inserted ?? 0), 0);
  while (counted() < rows && performance.now() - fromMs < 300_000) await sleep(100);
  const seconds = (performance.now() - fromMs) / 1_000;
  const { user, system } = process.cpuUsage(fromCpu);
  await sleep(2_000);

  const table = await examplesByTenant(pool);
  const recorded = await sensedByTenant(pool);
  const wrong = [...table].filter(([tenantId, { rows: expected, buckets }]) => {
    const own = digests.filter((digest) => digest.tenantId === tenantId).flatMap(({ customizations }) => customizations['c'] ?? []);
    const seen = listBuckets(own.reduce((set, { dirtyBuckets }) => unionBuckets(set, dirtyBuckets), noBuckets));
    const inserted = own.reduce((sum, change) => sum + change.inserted, 0);
    return inserted !== expected || recorded.get(tenantId) !== expected || seen.join() !== buckets.join();
  });
  console.log(
    `${rows} rows of ${tenants} tenants in commits of ${rowsPerCommit} by ${writers} writers: ${Math.round(rows / seconds)} rows/s from commit to signal`,
  );
  console.log(
    `writers and consumer ${((user + system) / rows).toFixed(1)} us CPU/row, Temporal ${((cpuMicroseconds(pidOf('temporal')) - temporalCpu) / digests.length / 1_000).toFixed(1)} ms CPU/signal`,
  );
  judge([
    {
      what: `the digests of ${table.size} tenants say what the table says (${wrong.length} do not)`,
      holds: table.size === tenants && wrong.length === 0,
    },
    {
      what: `at most one signal for 500 rows: ${digests.length} signals, one for ${Math.round(rows / digests.length)}`,
      holds: digests.length <= rows / 500,
    },
  ]);
} finally {
  await consumer.stop();
  await pool.end();
  await stack.remove();
}
