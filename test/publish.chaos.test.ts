import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultShardBytes } from '../activities/sharding/store-tensors.ts';
import { raiseAttempt, recordRun } from '../activities/registry/runs.ts';
import type { CustomizationKey } from '../core/ids.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { createS3Client } from '../platform/s3.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { eventually } from './support/live-tenant.ts';
import { FaultProxy, faults } from './support/fault-proxy.ts';
import { Life, mortalPool, mortalStore } from './support/mortal.ts';
import { type PublishInput, type Publisher, createPublisher, makeCustomization, makeRun, stage } from './support/publish-scene.ts';
import type { PublisherEngines } from './support/publisher-process.ts';
import { seeded } from './support/seeded.ts';
import { SpawnedPublisher } from './support/spawned-publisher.ts';
import { collectGarbage } from './support/store-care-scene.ts';
import { writeTinyEncoder } from './support/tiny-encoders.ts';
import { unreferenced } from './support/unreferenced.ts';
import { VersionReader } from './support/version-reader.ts';

/** Publishers that die between two steps; of real processes that are killed there are fewer, for each takes a second to start. */
const kills = Number(process.env['PUBLISH_KILLS'] ?? 400);
const realKills = Math.ceil(kills / 50);
/** Customizations that are published at the same time; two of a tenant each. */
const lanes = 4;
const print = (line: string): void => void process.stdout.write(`${line}\n`);

let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let engines: PublisherEngines;
let modelsDir: string;
let proxy: FaultProxy;
let publisherOf: (pool: Pool, store: ObjectStore) => Publisher;
let reader: VersionReader;

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3'] });
  pool = createPool(stack.config, { connectionLimit: 16 });
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  proxy = await FaultProxy.to(Number(new URL(stack.config.s3.endpoint).port));
  modelsDir = join(stack.home, 'tiny');
  await writeTinyEncoder(modelsDir, 'all-MiniLM-L6-v2', ['en']);
  engines = { mysql: stack.config.mysql, s3: stack.config.s3, modelsDir };
  publisherOf = await createPublisher(modelsDir);
  reader = new VersionReader(pool, store);
});
afterAll(async () => {
  await proxy.stop();
  await pool.end();
  await stack.remove();
});

/** The store as a publisher sees it on a bad day: one request in `oneOf` goes wrong, in any of the ways in which one can. */
function faultyStore(oneOf: number): ObjectStore {
  const draws = seeded(oneOf);
  proxy.follow(() => (draws.below(oneOf) === 0 ? (faults[draws.below(faults.length)] ?? null) : null));
  const { s3 } = stack.config;
  return createS3ObjectStore(createS3Client({ s3: { ...s3, endpoint: proxy.endpoint } }, { silenceMs: 1_500 }), s3.bucket);
}

async function customization(tenantId: string, customizationId: string): Promise<CustomizationKey> {
  const key = { tenantId, customizationId };
  await makeCustomization(pool, key);
  return key;
}
async function trained(key: CustomizationKey, run: number): Promise<PublishInput> {
  await makeRun(pool, { ...key, run });
  return await stage(store, { ...key, run, attempt: 1 });
}
/** A later attempt that has trained other weights. */
async function replaced({ tenantId, customizationId, run, attempt }: PublishInput): Promise<PublishInput> {
  const next = { tenantId, customizationId, run, attempt: attempt + 1 };
  await raiseAttempt(pool, next);
  return await stage(store, next);
}
const failureOf = async (work: Promise<unknown>): Promise<string | null | undefined> => {
  try {
    await work;
    return null;
  } catch (error) {
    if (error instanceof ApplicationFailure) return error.type;
    throw error;
  }
};
/** How an attempt of the activities ended; `away`: they gave the store up and are tried again by their workflow. */
const ending = async (life: Life, work: Promise<unknown>): Promise<'done' | 'killed' | 'away'> => {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (life.dead) return 'killed';
    if (error instanceof ApplicationFailure && error.type === 'Unavailable') return 'away';
    throw error;
  }
};

describe('readers', () => {
  it(`see a whole old or a whole new version, whenever one of ${kills} publishers dies`, { timeout: 60_000 + 400 * kills }, async () => {
    const counted = { kills: 0, away: 0, versions: 0, replaced: 0, fenced: 0 };
    // How many steps there are: those of a publisher that lives.
    const whole = new Life();
    const first = await trained(await customization('steps', 'c'), 1);
    await publisherOf(mortalPool(pool, whole), mortalStore(store, whole)).publish(first);
    expect(whole.steps).toBeGreaterThan(20);

    const faulty = faultyStore(50);
    const lane = async (number: number): Promise<void> => {
      const draws = seeded(number);
      const key = await customization(`tenant-${number >> 1}`, `c${number}`);
      let before: number | null = null;
      for (let run = 1; counted.kills < kills; run++) {
        let input = await trained(key, run);
        for (let dead = true; dead;) {
          const life = new Life(draws.next() < 0.1 ? undefined : draws.below(whole.steps));
          const ended = await ending(life, publisherOf(mortalPool(pool, life), mortalStore(faulty, life)).publish(input));
          await life.settled();
          dead = ended !== 'done';
          if (ended === 'killed') counted.kills++;
          if (ended === 'away') counted.away++;
          const serving = await reader.check(key);
          if (serving.version !== before && serving.run !== run)
            throw new Error(`run ${serving.run} serves, it was v${before} or run ${run}`);
          if (!dead && serving.run !== run) throw new Error(`run ${run} was promoted and does not serve`);
          if (dead && draws.next() < 0.1) {
            const old = input;
            input = await replaced(old);
            counted.replaced++;
            // The one that was replaced is not dead, and goes on: it must find that the version exists, or that it is fenced.
            if ((await failureOf(publisherOf(pool, store).publish(old))) === 'Fenced') counted.fenced++;
            await reader.check(key);
          }
        }
        before = (await reader.check(key)).version;
        counted.versions++;
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)));

    expect(counted.fenced).toBe(counted.replaced);
    reader.forget();
    for (let number = 0; number < lanes; number++)
      await reader.check({ tenantId: `tenant-${number >> 1}`, customizationId: `c${number}` }, true);
    const { orphans, missing, live } = await unreferenced(pool, store);
    expect(missing).toEqual([]);
    const bytes = [...orphans.values()].reduce((sum, each) => sum + each, 0);
    print(
      `${counted.kills} kills, ${proxy.requests} requests of which one in 50 went wrong, ${counted.away} times the store was given up, ` +
        `${counted.versions} versions, ${reader.checks} versions read, ${counted.replaced} attempts replaced, ` +
        `${orphans.size} orphans (${bytes} bytes), ${live.size} live objects`,
    );

    // The runs are over, and one collection takes every orphan and nothing else.
    expect(orphans.size).toBeGreaterThan(0);
    await pool.query("UPDATE modelwright_control.runs SET state = 'succeeded'");
    const retention = { keepVersions: Number.MAX_SAFE_INTEGER, graceMs: 0, lockMs: 0 };
    const beat = (): void => undefined;
    const { deferred } = await collectGarbage(
      { pool, store, modelsDir, shardBytes: defaultShardBytes, retention, scrubRounds: 7, beat },
      'gc',
    );
    expect(deferred).toEqual([]);
    expect(await unreferenced(pool, store)).toEqual({ orphans: new Map(), missing: [], live });
    reader.forget();
    for (let number = 0; number < lanes; number++)
      await reader.check({ tenantId: `tenant-${number >> 1}`, customizationId: `c${number}` }, true);
  });

  it(`see the same when ${realKills} real processes are killed`, { timeout: 120_000 + 20_000 * realKills }, async () => {
    const key = await customization('real', 'c');
    const draws = seeded(99);
    let run = 1;
    let input = await trained(key, run);
    let before: number | null = null;
    const counted = { killed: 0, published: 0 };
    let following = SpawnedPublisher.ready(engines);
    for (let i = 0; i < realKills; i++) {
      const publisher = await following;
      following = SpawnedPublisher.ready(engines);
      await publisher.go({ input, stop: false });
      // A publication takes some 100 ms.
      await sleep(draws.below(150));
      publisher.signal('SIGKILL');
      const said = await publisher.outcome();
      if (said && 'failure' in said) throw new Error(`run ${run} failed: ${said.failure}`);
      counted.killed += said ? 0 : 1;
      const serving = await reader.check(key);
      if (serving.version !== before && serving.run !== run) throw new Error(`run ${serving.run} serves, it was v${before} or run ${run}`);
      if (serving.run !== run) continue;
      before = serving.version;
      counted.published++;
      input = await trained(key, ++run);
    }
    const last = await following;
    last.signal('SIGKILL');
    await last.outcome();
    await publisherOf(pool, store).publish(input);
    expect((await reader.check(key, true)).run).toBe(run);
    expect(counted.killed).toBeGreaterThan(0);
    print(`${counted.killed} of ${realKills} processes killed before they could tell, ${counted.published} versions`);
  });
});

describe('of two publishers of a run', () => {
  it('at the same time, the one that was replaced is fenced or was first', async () => {
    const key = await customization('two', 'c');
    for (let run = 1; run <= 15; run++) {
      const old = await trained(key, run);
      const publisher = publisherOf(pool, store);
      const [late, own] = await Promise.all([
        failureOf(publisher.publish(old)),
        replaced(old).then((input) => failureOf(publisher.publish(input))),
      ]);
      expect([null, 'Fenced']).toContain(late);
      expect(own).toBeNull();
      expect((await reader.check(key)).run).toBe(run);
    }
  });

  it('one that was stopped and comes back late is fenced', async () => {
    const key = await customization('stopped', 'c');
    const stopped = async (input: PublishInput): Promise<SpawnedPublisher> => {
      const publisher = await SpawnedPublisher.ready(engines);
      await publisher.go({ input, stop: true });
      await eventually('the publisher to stop', async () => ((await publisher.isStopped()) ? true : null), 60_000);
      return publisher;
    };
    const finish = async (publisher: SpawnedPublisher) => {
      publisher.signal('SIGCONT');
      return await publisher.outcome();
    };
    // Replaced by a later attempt, which has not published yet.
    const first = await trained(key, 1);
    const replacedOne = await stopped(first);
    const second = await replaced(first);
    expect(await finish(replacedOne)).toEqual({ failure: 'Fenced' });
    expect((await reader.check(key)).version).toBeNull();
    await publisherOf(pool, store).publish(second);
    // Of a run that was cancelled meanwhile.
    const third = await trained(key, 2);
    const cancelled = await stopped(third);
    await recordRun(pool, { ...key, run: 2, state: 'cancelled', reason: 'cancelled on request' });
    expect(await finish(cancelled)).toEqual({ failure: 'Fenced' });
    // The same attempt, tried again elsewhere: it finds what the other one did.
    const fourth = await trained(key, 3);
    const again = await stopped(fourth);
    await publisherOf(pool, store).publish(fourth);
    expect(await finish(again)).toEqual({ version: 2 });
    // Promoted by another run meanwhile: the version that was meant for it is taken.
    const fifth = await trained(key, 4);
    const overtaken = await stopped(fifth);
    await publisherOf(pool, store).publish(await trained(key, 5));
    expect(await finish(overtaken)).toEqual({ failure: 'Fenced' });
    expect(await reader.check(key, true)).toEqual({ version: 3, run: 5 });
  });
});
