import { createInterface } from 'node:readline';
import { ApplicationFailure } from '@temporalio/common';
import type { Config } from '../../platform/config.ts';
import { createPool } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { type PublishInput, createPublisher } from './publish-scene.ts';

// A publisher in a process of its own, so that a test can kill it, or stop and continue it. Lines in: engines, then an input. Lines out: `ready`,
// `go`, and the version or the type of the failure.
export type PublisherEngines = Pick<Config, 'mysql' | 's3'> & { readonly modelsDir: string };
/** `stop`: stops itself when the shards are stored and nothing is published yet. */
export type PublisherOrder = { readonly input: PublishInput; readonly stop: boolean };

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async <T>(): Promise<T> => JSON.parse((await lines.next()).value as string) as T;

const { modelsDir, mysql, s3 } = await next<PublisherEngines>();
const pool = createPool({ mysql }, { connectionLimit: 2 });
const publisherOf = await createPublisher(modelsDir);
const publisher = publisherOf(pool, createS3ObjectStore(createS3Client({ s3 }), s3.bucket));
await pool.query('SELECT 1');
say('ready');
const { input, stop } = await next<PublisherOrder>();
say('go');
try {
  const { version } = await publisher.publish(input, async () => {
    if (stop) process.kill(process.pid, 'SIGSTOP');
    await Promise.resolve();
  });
  say(JSON.stringify({ version }));
} catch (error) {
  say(JSON.stringify({ failure: error instanceof ApplicationFailure ? error.type : String(error) }));
}
process.exit(0);
