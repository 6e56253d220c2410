import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createS3Client } from '../platform/s3.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { createS3ObjectStore } from './s3-object-store.ts';

const mebi = 1024 * 1024;
/** More than S3 takes in one PUT. */
const hugeBytes = 5 * 1024 * mebi + 12_345_678;
/** Of parts, and of what the client and the collector hold meanwhile. */
const mostMemory = 512 * mebi;

let stack: TestStack;
beforeAll(async () => void (stack = await startTestStack({ engines: ['s3'] })));
afterAll(async () => await stack.remove());

function* zeros(): Generator<Buffer> {
  const piece = Buffer.alloc(8 * mebi);
  for (let at = 0; at < hugeBytes; at += piece.byteLength) yield piece.subarray(0, Math.min(piece.byteLength, hugeBytes - at));
}

it('an object of more than 5 GiB is stored and read, and is never in memory', { timeout: 900_000 }, async () => {
  const { config } = stack;
  const store = createS3ObjectStore(createS3Client(config), config.s3.bucket);
  const hash = createHash('sha256');
  for (const piece of zeros()) hash.update(piece);
  const sha256 = hash.digest('hex');
  const before = process.memoryUsage.rss();
  let most = 0;
  const watched = function* (): Generator<Buffer> {
    for (const piece of zeros()) {
      most = Math.max(most, process.memoryUsage.rss());
      yield piece;
    }
  };
  const source = { bytes: hugeBytes, sha256, open: () => Promise.resolve(Readable.from(watched())) };
  expect((await store.putContentStream('huge', source)).created).toBe(true);
  expect(most - before).toBeLessThan(mostMemory);
  expect((await store.putContentStream('huge', source)).created).toBe(false);
  expect(await store.size('huge')).toBe(hugeBytes);
  const read = createHash('sha256');
  for await (const chunk of await store.stream('huge')) read.update(chunk as Buffer);
  expect(read.digest('hex')).toBe(sha256);
});
