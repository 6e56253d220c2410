import { createLogger } from '../../platform/logger.ts';
import { createFeed, type FeedName } from '../../workers/cdc/create-feed.ts';
import { FeedTaker } from './feed-taker.ts';

// A consumer in a process of its own, so that a test can stop and continue it: prints every offset that it takes, and commits it.
const [, , name = '', brokers = '', groupId = '', topic = ''] = process.argv;
const logger = createLogger('feed', 'error');
const feed = await createFeed(
  name as FeedName,
  { brokers: brokers.split(','), groupId, topics: [topic] },
  { logger, onCrash: () => process.exit(1), signal: new AbortController().signal },
);
const taker = new FeedTaker();
await feed.start({
  take: async (batch, alive) => {
    await taker.take(batch, alive);
    const last = Number(batch.records.at(-1)?.offset);
    await feed.commit([{ topic: batch.topic, partition: batch.partition, offset: String(last + 1) }]);
    process.stdout.write(batch.records.map(({ offset }) => `${offset}\n`).join(''));
  },
  seen: taker.seen,
  rewound: () => void process.stdout.write('rewound\n'),
});
