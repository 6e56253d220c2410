import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../platform/hash.ts';
import { createS3Client } from '../platform/s3.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { type Fault, FaultProxy, faults } from '../test/support/fault-proxy.ts';
import { seeded } from '../test/support/seeded.ts';
import { CorruptObject, type ObjectStore, ObjectMissing, type PutResult, StoreUnavailable } from './object-store.ts';
import { createS3ObjectStore } from './s3-object-store.ts';

const maxAttempts = 3;
/** Longer than the server ever takes, also on a busy machine; the real client waits a minute. */
const silenceMs = 1_500;

let stack: TestStack;
let proxy: FaultProxy;
/** Through the proxy, and past it. */
let store: ObjectStore;
let direct: ObjectStore;
let keys = 0;

beforeAll(async () => {
  stack = await startTestStack({ engines: ['s3'] });
  const { s3 } = stack.config;
  proxy = await FaultProxy.to(Number(new URL(s3.endpoint).port));
  direct = createS3ObjectStore(createS3Client({ s3 }), s3.bucket);
});
beforeEach(() => {
  const { s3 } = stack.config;
  proxy.follow(() => null);
  // A client of its own each time: one that has seen many errors in a row does not send again.
  store = createS3ObjectStore(createS3Client({ s3: { ...s3, endpoint: proxy.endpoint } }, { maxAttempts, silenceMs }), s3.bucket);
});
afterAll(async () => {
  await proxy.stop();
  await stack.remove();
});

const newKey = (): string => `faults/${++keys}`;
const bytesOf = (key: string, round = 0): Buffer => Buffer.from(`${key} ${round} `.repeat(200));
const listed = async (from: ObjectStore, prefix: string): Promise<string[]> => {
  const found: string[] = [];
  for await (const { key } of from.list(prefix)) found.push(key);
  return found;
};
const held = async (key: string): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of await direct.stream(key)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};
/** The first request goes wrong, the others do not. */
const once = (fault: Fault): void => proxy.follow(({ number }) => (number === 0 ? fault : null));

/** What came of a call: an error of the store in words. */
const outcome = async <T>(work: Promise<T>): Promise<T | 'away' | 'wrong' | 'missing'> => {
  try {
    return await work;
  } catch (error) {
    if (error instanceof StoreUnavailable) return 'away';
    if (error instanceof CorruptObject) return 'wrong';
    if (error instanceof ObjectMissing) return 'missing';
    throw error;
  }
};
const created = async (put: Promise<PutResult>): Promise<boolean> => (await put).created;

describe.each(faults)('one request with the fault %s', (fault) => {
  // Bytes that were changed on their way do not have the digest that was signed: the server says so, and nothing is stored.
  const changed = fault === 'upload-wrong';

  it('to store an object that must be new: stored, and said to be', async () => {
    const key = newKey();
    once(fault);
    expect(await outcome(created(store.putNew(key, bytesOf(key))))).toBe(changed ? 'away' : true);
    expect(await direct.size(key)).toBe(changed ? null : bytesOf(key).byteLength);
    await direct.putNew(key, bytesOf(key));
    expect(await held(key)).toEqual(bytesOf(key));
    // What somebody else has stored stays, whatever happens.
    once(fault);
    expect(await outcome(created(store.putNew(key, bytesOf(key, 1))))).toBe(false);
    expect(await held(key)).toEqual(bytesOf(key));
  });

  it('to store content: stored', async () => {
    const key = newKey();
    const sha256 = sha256Hex(bytesOf(key));
    // The first request looks whether it is there, the second stores it.
    for (const at of [0, 1]) {
      await direct.delete([key]);
      proxy.follow(({ number }) => (number === at ? fault : null));
      const refused = changed && at === 1;
      expect(await outcome(created(store.putContent(key, bytesOf(key), sha256)))).toBe(refused ? 'away' : true);
      await direct.putContent(key, bytesOf(key), sha256);
      expect(await held(key)).toEqual(bytesOf(key));
    }
  });

  it('to store an object in parts: stored, and whole', { timeout: 120_000 }, async () => {
    const { s3 } = stack.config;
    const content = Buffer.alloc(6 * 1024 ** 2, 'in two parts ');
    const source = { bytes: content.byteLength, sha256: sha256Hex(content), open: () => Promise.resolve(Readable.from([content])) };
    // Two looks, the beginning, two parts, the end, and what is given up.
    for (const at of [1, 2, 3, 5, 6]) {
      const key = newKey();
      const client = createS3Client({ s3: { ...s3, endpoint: proxy.endpoint } }, { maxAttempts, silenceMs });
      const parted = createS3ObjectStore(client, s3.bucket, { putBytes: 1, partBytes: 5 * 1024 ** 2 });
      proxy.follow(({ number }) => (number === at ? fault : null));
      await parted.putContentStream(key, source);
      expect((await held(key)).equals(content)).toBe(true);
      client.destroy();
    }
    await direct.dropUploads('faults/', Date.now() + 3_600_000);
  });

  it('to read, look, list and delete: the right answer, or an error where nobody can know', async () => {
    const key = newKey();
    const { ref } = await direct.putNew(key, bytesOf(key));
    once(fault);
    expect(Buffer.from(await store.read(ref))).toEqual(bytesOf(key));
    once(fault);
    // Without the length that it is asked for, the answer is none.
    expect(await outcome(store.size(key))).toBe(fault === 'body-short' ? 'away' : ref.bytes);
    once(fault);
    // Half a list is an error. A letter that was changed in it nobody can see: no caller trusts a list alone.
    const found = await outcome(listed(store, key));
    expect(found === 'away' || found.length === 1).toBe(true);
    once(fault);
    await outcome(store.delete([key]));
    proxy.follow(() => null);
    await store.delete([key]);
    expect(await direct.size(key)).toBeNull();
  });
});

describe('a store in which every request goes wrong', () => {
  it.each(['error-before', 'error-after', 'reset-before', 'reset-after', 'silent-after', 'upload-broken-off'] as const)(
    'with %s is said to be away after few tries',
    { timeout: 120_000 },
    async (fault) => {
      const key = newKey();
      const { ref } = await direct.putNew(`${key}/there`, bytesOf(key));
      proxy.follow(() => fault);
      const upload = fault === 'upload-broken-off';
      const works: (() => Promise<unknown>)[] = [() => store.putNew(`${key}/new`, bytesOf(key)), () => store.delete([`${key}/new`])];
      if (!upload)
        works.push(
          () => store.read(ref),
          () => store.size(ref.key),
          () => listed(store, key),
        );
      for (const [index, work] of works.entries()) {
        // A deletion asks first whether the bucket keeps versions, and that request has no body to break off.
        const more = upload && index === 1 ? 1 : 0;
        proxy.follow(() => fault);
        const error: unknown = await work().catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(StoreUnavailable);
        expect((error as Error).message).toContain(key);
        expect(proxy.requests).toBe(maxAttempts + more);
      }
    },
  );

  it('never hands on bytes that are not those that were stored', async () => {
    const key = newKey();
    const { ref } = await direct.putNew(key, bytesOf(key));
    for (const [fault, type] of [
      ['body-short', CorruptObject],
      ['body-wrong', CorruptObject],
      ['body-broken-off', StoreUnavailable],
    ] as const) {
      proxy.follow(() => fault);
      await expect(store.read(ref)).rejects.toThrow(type);
      expect(proxy.requests).toBe(3);
    }
    proxy.follow(() => null);
    await expect(store.read({ ...ref, key: `${key}/not-there` })).rejects.toThrow(ObjectMissing);
  });
});

describe('an answer that says yes and does not mean it', () => {
  const deleteAnswer = (inner: string): { status: number; body: string } => ({
    status: 200,
    body: `<?xml version="1.0"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</DeleteResult>`,
  });

  it('to a deletion is an error that names the key', async () => {
    const [one, two] = [newKey(), newKey()];
    const refused = '<Error><Key>KEY</Key><Code>AccessDenied</Code><Message>no</Message></Error>'.replace('KEY', two);
    proxy.follow(() => deleteAnswer(`<Deleted><Key>${one}</Key></Deleted>${refused}`));
    await expect(store.delete([one, two])).rejects.toThrow(
      new StoreUnavailable(`deleting ${two} failed (AccessDenied), 1 of 2 keys were refused`),
    );
    proxy.follow(() => deleteAnswer(`<Deleted><Key>${one}</Key></Deleted>`));
    await expect(store.delete([one, two])).rejects.toThrow(`deleting ${two} failed (the answer does not say that it is gone)`);
    proxy.follow(() => deleteAnswer(`<Deleted><Key>${one}</Key></Deleted>${refused.replace('AccessDenied', 'NoSuchKey')}`));
    await store.delete([one, two]);
  });

  it('to a listing is an error, not an empty list', async () => {
    const key = newKey();
    await direct.putNew(key, bytesOf(key));
    for (const body of ['<html><body>Sign in to the network</body></html>', '', '{}']) {
      proxy.follow(() => ({ status: 200, body }));
      await expect(listed(store, key)).rejects.toThrow(StoreUnavailable);
    }
  });

  it('of a write that another one stands in the way of is asked again', async () => {
    const key = newKey();
    const busy = { status: 409, body: '<Error><Code>ConditionalRequestConflict</Code><Message>busy</Message></Error>' };
    proxy.follow(({ number }) => (number < 2 ? busy : null));
    expect((await store.putNew(key, bytesOf(key))).created).toBe(true);
    proxy.follow(() => busy);
    await expect(store.putNew(newKey(), bytesOf(key))).rejects.toThrow(StoreUnavailable);
  });
});

describe('a store in which a third of all requests goes wrong', () => {
  const draws = seeded(7);
  // Without the one that takes the longest.
  const likely = faults.filter((fault) => fault !== 'silent-after');
  const mixed = (): Fault | null => (draws.next() < 0.33 ? (likely[draws.below(likely.length)] ?? null) : null);

  it('lets one of two writers win, and never both', async () => {
    for (let round = 0; round < 40; round++) {
      const key = newKey();
      proxy.follow(mixed);
      const puts = await Promise.allSettled([0, 1].map((writer) => store.putNew(key, bytesOf(key, writer))));
      const winners = puts.flatMap((put, writer) => (put.status === 'fulfilled' && put.value.created ? [writer] : []));
      const errors = puts.flatMap((put) => (put.status === 'rejected' ? [put.reason as unknown] : []));
      for (const error of errors) expect(error).toBeInstanceOf(StoreUnavailable);
      expect(winners.length).toBeLessThanOrEqual(1);
      const stored = await outcome(held(key));
      // Where both have lost the answer, either of them may have stored it, or none.
      const allowed = winners.length > 0 ? winners : [0, 1];
      const right = allowed.some((writer) => Buffer.isBuffer(stored) && stored.equals(bytesOf(key, writer)));
      expect(right || (stored === 'missing' && errors.length === 2)).toBe(true);
    }
  });

  it('gives what was stored or an error, four hundred times', async () => {
    const known = new Set<string>();
    const outcomes = { right: 0, wrong: 0, errors: 0 };
    for (let i = 0; i < 400; i++) {
      proxy.follow(mixed);
      const key = `faults/storm/${draws.below(40)}`;
      const sha256 = sha256Hex(bytesOf(key));
      const before = known.has(key);
      let right: boolean;
      let result: unknown;
      if (draws.next() < 0.4) {
        result = await outcome(created(store.putContent(key, bytesOf(key), sha256)));
        right = typeof result === 'boolean';
        if (right) known.add(key);
      } else if (draws.next() < 0.7) {
        result = await outcome(store.read({ key, sha256 }));
        right = result instanceof Uint8Array ? sha256Hex(result) === sha256 : result === 'missing' && !before;
      } else {
        result = await outcome(store.size(key));
        right = result === bytesOf(key).byteLength || (result === null && !before);
      }
      outcomes[right ? 'right' : result === 'away' || result === 'wrong' ? 'errors' : 'wrong']++;
    }
    expect(outcomes.wrong).toBe(0);
    expect(outcomes.errors).toBeLessThan(100);
    for (const key of known) expect(await held(key)).toEqual(bytesOf(key));
  });
});
