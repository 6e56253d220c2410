import { createPool } from '../../platform/mysql.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { judge, mebibytes, percentile } from '../support/figures.ts';
import { largeTransaction } from '../support/large-transaction.ts';

// One very large transaction: `node bench/sensing/large-transaction.ts [ROWS]`. The consumer's memory must not grow with it.

const rows = Number(process.argv[2] ?? 300_000);
const memoryLimitBytes = 400 * 1_048_576;

const stack = await startTestStack({ engines: ['mysql', 'kafka', 'connect', 'temporal'], services: ['change-consumer'] });
const pool = createPool(stack.config, { connectionLimit: 4 });
try {
  const { sensedRows, beforeMs, duringMs, memoryBefore, memoryPeak, streamedMs } = await largeTransaction(stack, pool, rows, 1_800_000);
  const show = (delays: readonly number[]): string =>
    `${delays.length} commits, p50 ${Math.round(percentile(delays, 0.5))} ms, p99 ${Math.round(percentile(delays, 0.99))} ms`;
  console.log(
    `rows in one transaction     ${rows}, all counted ${(streamedMs / 1_000).toFixed(1)} s after its commit (${Math.round((rows / streamedMs) * 1_000)} rows/s)`,
  );
  console.log(`consumer memory             ${mebibytes(memoryBefore)} before, ${mebibytes(memoryPeak)} at most`);
  console.log(`another tenant, before      ${show(beforeMs)}`);
  console.log(`another tenant, behind it   ${show(duringMs)}`);
  console.log(
    'A commit that comes after the large one waits until the binary log has been read past it: there is one stream, in commit order.',
  );
  judge([
    { what: 'every row was counted', holds: sensedRows === rows },
    { what: `the consumer stays below ${mebibytes(memoryLimitBytes)}`, holds: memoryPeak < memoryLimitBytes },
    {
      what: 'another tenant waits no longer than the stream needs for the large transaction',
      holds: percentile(duringMs, 1) < streamedMs + 5_000,
    },
  ]);
} finally {
  await pool.end();
  await stack.remove();
}
