import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type BytesAt, type HashAnswer, type HashRequest, createHasher } from './hash-worker.ts';

/** Two threads hash 3 GB a second: more than any store takes. */
const mostThreads = 2;
/** Below, starting a thread takes longer than hashing. */
const worthThreadsBytes = 4 * 1024 * 1024;

/** SHA-256 of a stream, given piece by piece in order. A piece may be written over when its `update` has settled. */
export type StreamHash = { update(part: BytesAt): Promise<void>; finish(): Promise<string> };

export type HashPool = {
  /** SHA-256 in hex of each part. */
  digests(parts: readonly BytesAt[]): Promise<readonly string[]>;
  stream(): StreamHash;
  close(): Promise<void>;
};

type Lane = { waiting: number; ask(request: HashRequest): Promise<HashAnswer>; close(): Promise<void> };

/** Hashes in threads of its own where there is much to hash: `totalBytes` is about how much. Close it. */
export function createHashPool(totalBytes: number): HashPool {
  const threads = totalBytes < worthThreadsBytes ? 0 : Math.min(mostThreads, availableParallelism());
  const lanes = threads === 0 ? [ownLane()] : Array.from({ length: threads }, threadLane);
  let ids = 0;
  const idlest = (): Lane => lanes.reduce((best, lane) => (lane.waiting < best.waiting ? lane : best));
  return {
    digests: async (parts) => (await idlest().ask({ id: (ids += 1), kind: 'digests', parts })).digests,
    stream: () => {
      const stream = (ids += 1);
      // One after the other in one thread: a digest depends on the order.
      const lane = lanes[stream % lanes.length] as Lane;
      return {
        update: async (part) => void (await lane.ask({ id: (ids += 1), kind: 'update', stream, part })),
        finish: async () => (await lane.ask({ id: (ids += 1), kind: 'finish', stream })).digests[0] ?? '',
      };
    },
    close: async () => void (await Promise.all(lanes.map((lane) => lane.close()))),
  };
}

function ownLane(): Lane {
  const answer = createHasher();
  return { waiting: 0, ask: (request) => Promise.resolve(answer(request)), close: () => Promise.resolve() };
}

function threadLane(): Lane {
  const worker = new Worker(new URL('./hash-worker.ts', import.meta.url));
  const asked = new Map<number, { readonly done: (answer: HashAnswer) => void; readonly failed: (error: unknown) => void }>();
  const lane: Lane = {
    waiting: 0,
    ask: (request) =>
      new Promise((done, failed) => {
        asked.set(request.id, { done, failed });
        lane.waiting += 1;
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is for windows of a browser
        worker.postMessage(request);
      }),
    close: async () => void (await worker.terminate()),
  };
  worker.on('message', (answer: HashAnswer) => {
    lane.waiting -= 1;
    asked.get(answer.id)?.done(answer);
    asked.delete(answer.id);
  });
  const fail = (error: unknown): void => {
    for (const { failed } of asked.values()) failed(error);
    asked.clear();
  };
  worker.on('error', fail);
  worker.on('exit', () => fail(new Error('the thread that hashes has ended')));
  return lane;
}
