import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createLogger } from '../../platform/logger.ts';
import { createPool } from '../../platform/mysql.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { createKafka } from '../../workers/cdc/kafkajs-feed.ts';
import { insertExamples } from '../support/example-rows.ts';
import { judge, mebibytes, median } from '../support/figures.ts';
import { cpuMicroseconds } from '../support/process-usage.ts';

// (a) How fast the change consumer reads, against what Debezium emits in the same run and against a plain kafkajs loop:
// `node bench/sensing/drain.ts [ROWS]`.

const rows = Number(process.argv[2] ?? 400_000);
const rowsPerCommit = 1_000;
const tenants = 200;
const rounds = 3;
const topic = 'mw.modelwright.examples';
const run = promisify(execFile);

type Drained = { readonly rate: number; readonly cpuPerRow: number; readonly resident: number };

const stack = await startTestStack({ engines: ['mysql', 'kafka', 'connect'] });
const pool = createPool(stack.config, { connectionLimit: 4 });
const admin = createKafka(stack.config.kafka.brokers, 'bench', createLogger('bench', 'error')).admin();
try {
  await admin.connect();
  const emitted = async (): Promise<number> => (await admin.fetchTopicOffsets(topic)).reduce((sum, { high }) => sum + Number(high), 0);

  // Written while nothing reads, so that Debezium has a backlog and emits as fast as it can.
  await stack.pause('connect');
  for (let from = 0; from < rows; from += rowsPerCommit)
    await insertExamples(pool, `tenant-${(from / rowsPerCommit) % tenants}`, from, from + rowsPerCommit);
  await stack.resume('connect');
  const pid = stack.status().processes.find(({ name }) => name === 'connect')?.pid ?? 0;
  let first = await emitted();
  for (; first === 0; first = await emitted()) await sleep(50);
  const fromMs = performance.now();
  const fromCpu = cpuMicroseconds(pid);
  while ((await emitted()) < rows) await sleep(50);
  const emission = {
    rate: (rows - first) / ((performance.now() - fromMs) / 1_000),
    cpuPerRow: (cpuMicroseconds(pid) - fromCpu) / (rows - first),
  };
  await stack.pause('connect');

  const results = { plain: [] as Drained[], kafkajs: [] as Drained[], platformatic: [] as Drained[] };
  for (let round = 0; round < rounds; round++)
    for (const mode of ['plain', 'kafkajs', 'platformatic'] as const) {
      const args = [
        join(import.meta.dirname, 'drain-child.ts'),
        mode,
        stack.config.kafka.brokers.join(','),
        topic,
        String(rows),
        `${mode}-${round}`,
      ];
      const { stdout } = await run(process.execPath, args);
      results[mode].push(JSON.parse(stdout) as Drained);
    }
  const of = (mode: keyof typeof results) => ({
    rate: median(results[mode].map(({ rate }) => rate)),
    cpuPerRow: median(results[mode].map(({ cpuPerRow }) => cpuPerRow)),
    resident: median(results[mode].map(({ resident }) => resident)),
  });
  const { plain, kafkajs, platformatic } = { plain: of('plain'), kafkajs: of('kafkajs'), platformatic: of('platformatic') };
  const show = (name: string, { rate, cpuPerRow, resident }: Drained): void =>
    console.log(
      `${name.padEnd(34)}${String(Math.round(rate)).padStart(8)} rows/s  ${cpuPerRow.toFixed(1).padStart(5)} us CPU/row  ${mebibytes(resident)}`,
    );
  console.log(`${rows} rows of ${tenants} tenants; medians of ${rounds} interleaved rounds, each in a fresh process`);
  console.log(
    `${'Debezium in Kafka Connect emits'.padEnd(34)}${String(Math.round(emission.rate)).padStart(8)} rows/s  ${emission.cpuPerRow.toFixed(1).padStart(5)} us CPU/row`,
  );
  show('eachMessage and JSON.parse', plain);
  show('the change consumer, kafkajs', kafkajs);
  show('the change consumer, platformatic', platformatic);
  const ratio = (a: number, b: number): string => `${(a / b).toFixed(2)} times`;
  console.log(`CPU a row of the consumer against the plain loop: ${ratio(kafkajs.cpuPerRow, plain.cpuPerRow)}`);
  judge([
    { what: `at least 3 times as fast as Debezium emits: ${ratio(kafkajs.rate, emission.rate)}`, holds: kafkajs.rate >= 3 * emission.rate },
    {
      what: `at most half of Connect's CPU a row: ${ratio(kafkajs.cpuPerRow, emission.cpuPerRow)}`,
      holds: kafkajs.cpuPerRow <= emission.cpuPerRow / 2,
    },
    { what: `at least twice as fast as the plain loop: ${ratio(kafkajs.rate, plain.rate)}`, holds: kafkajs.rate >= 2 * plain.rate },
  ]);
} finally {
  await admin.disconnect().catch(() => undefined);
  await pool.end();
  await stack.remove();
}
