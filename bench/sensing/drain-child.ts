import kafkajs from 'kafkajs';
import lz4 from 'lz4-napi';
import { Registry } from 'prom-client';
import { createLogger } from '../../platform/logger.ts';
import { createFeed, type FeedName } from '../../workers/cdc/create-feed.ts';
import { sensingMetrics } from '../../workers/cdc/metrics.ts';
import { createSensing } from '../../workers/cdc/sensing.ts';

// Reads a topic from its beginning in a process of its own and prints one line of JSON:
// `drain-child.ts plain|kafkajs|platformatic BROKERS TOPIC ROWS GROUP`.
const [, , mode = '', brokers = '', topic = '', rowsText = '', groupId = ''] = process.argv;
const rows = Number(rowsText);
let beganMs = 0;
let beganCpu = process.cpuUsage();
let signals = 0;
let resident = 0;

function begin(): void {
  if (beganMs > 0) return;
  beganMs = performance.now();
  beganCpu = process.cpuUsage();
}
let ended: { readonly ms: number; readonly cpu: NodeJS.CpuUsage } | null = null;
/** Everything is read and counted: the clock stops. The last digests may still wait for their second. */
function read(): void {
  ended ??= { ms: performance.now(), cpu: process.cpuUsage(beganCpu) };
}
function finish(): never {
  read();
  const { user, system } = ended?.cpu ?? process.cpuUsage(beganCpu);
  const seconds = ((ended?.ms ?? performance.now()) - beganMs) / 1_000;
  console.log(
    JSON.stringify({
      rate: rows / seconds,
      cpuPerRow: (user + system) / rows,
      signals,
      resident: Math.max(resident, process.memoryUsage.rss()),
    }),
  );
  process.exit(0);
}
setInterval(() => (resident = Math.max(resident, process.memoryUsage.rss())), 50);

/** What one writes who follows the documentation of kafkajs and of the codec: one message after the other, parsed as a whole. */
async function plain(): Promise<void> {
  kafkajs.CompressionCodecs[kafkajs.CompressionTypes.LZ4] = () => ({
    compress: (encoder: { buffer: Buffer }) => lz4.compressFrame(encoder.buffer),
    decompress: (buffer: Buffer) => lz4.decompressFrame(buffer),
  });
  const kafka = new kafkajs.Kafka({ clientId: 'plain', brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId });
  consumer.on(consumer.events.GROUP_JOIN, begin);
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  let read = 0;
  await consumer.run({
    eachMessage: async ({ message: { value } }) => {
      const event = JSON.parse(value?.toString() ?? 'null') as { op?: string } | null;
      if (event?.op === 'c' && ++read >= rows) finish();
    },
  });
}

/** The change consumer as it runs, in front of a Temporal and a MySQL that answer at once. */
async function ours(name: FeedName): Promise<void> {
  const logger = createLogger('drain', 'error');
  const feed = await createFeed(
    name,
    { brokers: brokers.split(','), groupId, topics: [topic] },
    { logger, onCrash: () => process.exit(1), signal: new AbortController().signal },
  );
  let counted = 0;
  let taken = 0;
  const sensing = createSensing({
    feed: {
      ...feed,
      start: (handler) =>
        feed.start({
          ...handler,
          rewound() {
            begin();
            handler.rewound();
          },
          async take(batch, alive) {
            await handler.take(batch, alive);
            taken += batch.records.length;
            if (taken >= rows) read();
          },
        }),
    },
    deadLetters: { park: () => Promise.reject(new Error('nothing is to be parked')) },
    recordTruncate: () => Promise.reject(new Error('no table is truncated here')),
    recordCommits: () => Promise.resolve(),
    missed: () => Promise.resolve(),
    signal: async ({ customizations }) => {
      signals += 1;
      for (const { inserted } of Object.values(customizations)) counted += inserted;
      if (counted >= rows) finish();
    },
    metrics: sensingMetrics(new Registry()),
    logger,
  });
  await sensing.start();
}

await (mode === 'plain' ? plain() : ours(mode as FeedName));
