import { setTimeout as sleep } from 'node:timers/promises';
import { createPool } from '../../platform/mysql.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { startConsumer } from '../support/consumer.ts';
import { insertExamples } from '../support/example-rows.ts';
import { judge } from '../support/figures.ts';

// (d) How long Kafka Connect needs from its start until a new commit is sensed, with a short and with a long history of DDL:
// `node bench/sensing/restart.ts [STATEMENTS]`.

const statements = Number(process.argv[2] ?? 2_000);
const limitSeconds = 60;

const stack = await startTestStack({ engines: ['mysql', 'kafka', 'connect', 'temporal'] });
const pool = createPool(stack.config, { connectionLimit: 2 });
const sensed = new Set<string>();
const consumer = await startConsumer(stack.config, 'restart', { accepted: ({ tenantId }) => void sensed.add(tenantId) });

async function secondsUntilSensed(tenantId: string): Promise<number> {
  const fromMs = performance.now();
  while (!sensed.has(tenantId)) await sleep(50);
  return (performance.now() - fromMs) / 1_000;
}
async function restart(tenantId: string): Promise<number> {
  await stack.pause('connect');
  await insertExamples(pool, tenantId, 0, 1);
  const started = stack.resume('connect');
  const seconds = await secondsUntilSensed(tenantId);
  await started;
  return seconds;
}
try {
  await insertExamples(pool, 'first', 0, 1);
  await secondsUntilSensed('first');
  const short = await restart('short-history');
  for (let i = 0; i < statements; i++) await pool.query(`ALTER TABLE modelwright.examples COMMENT = 'change ${i}'`);
  await insertExamples(pool, 'after-ddl', 0, 1);
  const through = await secondsUntilSensed('after-ddl');
  const long = await restart('long-history');
  console.log(
    `restart of Connect until a commit is sensed: ${short.toFixed(1)} s before, ${long.toFixed(1)} s after ${statements} DDL statements`,
  );
  console.log(`a commit behind the last of them was sensed after ${through.toFixed(1)} s`);
  judge([{ what: `at most ${limitSeconds} s with the long history`, holds: long <= limitSeconds }]);
} finally {
  await consumer.stop();
  await pool.end();
  await stack.remove();
}
