import { createPool } from '../../platform/mysql.ts';
import { createPredictorClient } from '../../platform/predictor-client.ts';
import { createS3Client } from '../../platform/s3.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { drawnNumbers, headPublisher } from '../../test/support/published-heads.ts';
import { judge, mebibytes, percentile } from '../support/figures.ts';
import { residentBytes } from '../support/process-usage.ts';

// What the heads of many tenants take in a predictor's memory, and how long the first request of each waits:
// `node bench/serving/thousand-heads.ts [TENANTS] [LABELS]`. Heads are published to the real store; each tenant then asks once, and once more.

const tenants = Number(process.argv[2] ?? 1_000);
const labelCount = Number(process.argv[3] ?? 77);
/** Beyond encoder and heads. */
const allowance = 1.2;
const publishers = 8;
const text = 'How long does it take until my card arrives?';

const stack = await startTestStack({ engines: ['mysql', 's3'], services: ['predictor'] });
const pool = createPool(stack.config, { connectionLimit: publishers });
try {
  const { dim, publish } = await headPublisher(stack, pool, createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket));
  const keyOf = (tenant: number) => ({ tenantId: `tenant-${tenant}`, customizationId: 'c', version: 1 });
  const biases = new Float32Array(labelCount);
  let next = 0;
  const publisher = async (): Promise<void> => {
    for (let tenant = next++; tenant < tenants; tenant = next++) {
      const labels = Array.from({ length: labelCount }, (_, i) => `label ${i} of tenant ${tenant}`);
      await publish(keyOf(tenant), { labels, weights: drawnNumbers(tenant, labelCount * dim), biases });
    }
  };
  await Promise.all(Array.from({ length: publishers }, publisher));
  const headBytes = labelCount * (dim + 1) * 4;
  const predictor = createPredictorClient(stack.config);
  const pid = stack.status().processes.find(({ name }) => name === 'predictor')?.pid ?? 0;
  const ask = async (tenant: number): Promise<number> => {
    const from = performance.now();
    const { outputs } = await predictor.predict({ ...keyOf(tenant), inputs: [{ text }] });
    const label = outputs[0]?.['label'];
    if (typeof label !== 'string' || !label.endsWith(` of tenant ${tenant}`)) throw new Error(`tenant ${tenant} got the answer of another`);
    return performance.now() - from;
  };
  const empty = residentBytes(pid);
  const firstMs = await ask(0);
  for (let i = 0; i < 50; i++) await ask(0);
  const before = residentBytes(pid);
  const cold: number[] = [];
  for (let tenant = 1; tenant < tenants; tenant++) cold.push(await ask(tenant));
  const after = residentBytes(pid);
  const warm: number[] = [];
  for (let tenant = 0; tenant < tenants; tenant++) warm.push(await ask(tenant));
  const ms = (values: readonly number[]): string =>
    `p50 ${percentile(values, 0.5).toFixed(1)} ms, p99 ${percentile(values, 0.99).toFixed(1)} ms`;
  const expected = before + (tenants - 1) * headBytes;
  console.log(`${tenants} tenants, each with a head of ${labelCount} labels (${headBytes} bytes) on one encoder`);
  console.log(`first request, encoder and head loaded: ${firstMs.toFixed(0)} ms`);
  console.log(`first request of another tenant, its head loaded: ${ms(cold)}`);
  console.log(`a request of a head that is loaded: ${ms(warm)}`);
  console.log(
    `memory of the predictor: ${mebibytes(empty)} with nothing, ${mebibytes(before)} with the encoder and one head, ${mebibytes(after)} with all`,
  );
  console.log(
    `a head takes ${Math.round((after - before) / (tenants - 1))} bytes, ${((after - before) / (tenants - 1) / headBytes).toFixed(2)} times its own`,
  );
  judge([
    {
      what: `at most encoder + heads + 20 %: ${mebibytes(after)} of ${mebibytes(expected * allowance)}`,
      holds: after <= expected * allowance,
    },
  ]);
} finally {
  await pool.end();
  await stack.remove();
}
