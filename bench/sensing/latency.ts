import { setTimeout as sleep } from 'node:timers/promises';
import { createPool } from '../../platform/mysql.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { startConsumer } from '../support/consumer.ts';
import { insertExamples } from '../support/example-rows.ts';
import { judge, percentile } from '../support/figures.ts';

// (b) From a commit of a quiet tenant to the signal that Temporal accepted, at low load: `node bench/sensing/latency.ts [COMMITS]`.

const commits = Number(process.argv[2] ?? 300);
const warmUp = 30;
const pauseMs = 100;

/** When a commit passed each place, Unix epoch milliseconds. */
type Passage = { sent: number; answered: number; source?: number; debezium?: number; taken?: number; recorded?: number; accepted?: number };
type Event = { readonly after: { readonly tenant_id: string }; readonly source: { readonly ts_us: number }; readonly ts_us: number };

const now = (): number => performance.timeOrigin + performance.now();
const stack = await startTestStack({ engines: ['mysql', 'kafka', 'connect', 'temporal'] });
const pool = createPool(stack.config, { connectionLimit: 2 });
const passages = new Map<string, Passage>();
const consumer = await startConsumer(stack.config, 'latency', {
  taken({ records }) {
    const taken = now();
    for (const { value } of records) {
      const { after, source, ts_us: debeziumUs } = JSON.parse(String(value)) as Event;
      const passage = passages.get(after.tenant_id);
      if (passage) Object.assign(passage, { source: source.ts_us / 1_000, debezium: debeziumUs / 1_000, taken });
    }
  },
  recorded(tenantIds) {
    for (const tenantId of tenantIds) Object.assign(passages.get(tenantId) ?? {}, { recorded: now() });
  },
  accepted({ tenantId }) {
    Object.assign(passages.get(tenantId) ?? {}, { accepted: now() });
  },
});
try {
  for (let i = -warmUp; i < commits; i++) {
    // Every commit is the first of its tenant.
    const tenantId = `quiet-${i}`;
    const passage: Passage = { sent: now(), answered: 0 };
    passages.set(tenantId, passage);
    await insertExamples(pool, tenantId, 0, 1);
    passage.answered = now();
    await sleep(pauseMs * (0.5 + ((i * 7) % 10) / 10));
  }
  await sleep(3_000);
  const passed = [...passages].filter(([tenantId]) => !tenantId.startsWith('quiet--')).map(([, passage]) => passage as Required<Passage>);
  const complete = passed.filter(({ accepted }) => accepted !== undefined);
  // The commit is in the log when the server says so in the event; the client hears of it about then.
  const total = complete.map(({ source, accepted }) => accepted - source);
  const hops: readonly (readonly [string, (passage: Required<Passage>) => number])[] = [
    ['statement sent -> in the binary log', ({ sent, source }) => source - sent],
    ['binary log -> made by Debezium', ({ source, debezium }) => debezium - source],
    ['Debezium -> Kafka -> consumer', ({ debezium, taken }) => taken - debezium],
    ['consumer -> recorded in MySQL', ({ taken, recorded }) => recorded - taken],
    ['recorded -> accepted by Temporal', ({ recorded, accepted }) => accepted - recorded],
    ['consumer -> accepted by Temporal', ({ taken, accepted }) => accepted - taken],
  ];
  const line = (name: string, values: readonly number[]): void =>
    console.log(
      `${name.padEnd(38)} p50 ${percentile(values, 0.5).toFixed(1).padStart(6)} ms   p99 ${percentile(values, 0.99).toFixed(1).padStart(6)} ms`,
    );
  console.log(`${complete.length} commits of ${commits}, each of another tenant, about ${Math.round(1_000 / pauseMs)} a second`);
  for (const [name, of] of hops) line(name, complete.map(of));
  line('commit -> accepted by Temporal', total);
  judge([
    { what: 'every commit was signalled', holds: complete.length === commits },
    { what: `p50 at most 50 ms: ${percentile(total, 0.5).toFixed(1)}`, holds: percentile(total, 0.5) <= 50 },
    { what: `p99 at most 200 ms: ${percentile(total, 0.99).toFixed(1)}`, holds: percentile(total, 0.99) <= 200 },
  ]);
} finally {
  await consumer.stop();
  await pool.end();
  await stack.remove();
}
