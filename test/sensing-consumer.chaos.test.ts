import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { TenantPending, TenantStatus } from '../core/tenant-messages.ts';
import { temporalProcess } from '../infra/local/temporal-process.ts';
import type { RowDataPacket } from '../platform/mysql.ts';
import { eventually } from './support/live-tenant.ts';
import { MoreConsumers } from './support/more-consumers.ts';
import { eventsOf, headersOfParked, produce } from './support/raw-events.ts';
import { SensingScene, stories } from './support/sensing-scene.ts';
import { tableAgainstDataset } from './support/table-equals-dataset.ts';

/** A broker gives a member up after 6 s (sessionTimeoutMs): a minute would tell nothing more. */
const longerThanSessionMs = 14_000;
/** gRPC's RESOURCE_EXHAUSTED. */
const resourceExhausted = 8;

/** Faults of what reads the change topics: of its group, of the records, of its life, and of Temporal behind it. */
let scene: SensingScene;
let more: MoreConsumers;
/** Reasons of what is parked: nothing else may be. */
let parked: string[] = [];

beforeAll(async () => {
  scene = await SensingScene.start();
  more = new MoreConsumers(scene.stack);
});
afterAll(async () => {
  await more?.endAll();
  await scene?.stop();
});
afterEach(() => scene.check(parked));

/** Members of the consumer group, as the broker knows them. */
const members = (): Promise<string[]> =>
  scene.faults.withAdmin(async (admin) => {
    const { groups } = await admin.describeGroups([`${scene.faults.prefix}-change-consumer`]);
    return groups.flatMap((group) => group.members.map(({ memberId }) => memberId));
  });

/** Events of examples whose offsets the group has not committed. */
const unread = (): Promise<number> =>
  scene.faults.withAdmin(async (admin) => {
    const topic = `${scene.faults.prefix}.modelwright.examples`;
    const [committed] = await admin.fetchOffsets({ groupId: `${scene.faults.prefix}-change-consumer`, topics: [topic] });
    const offsets = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Math.max(0, Number(offset))]));
    return (await admin.fetchTopicOffsets(topic)).reduce(
      (sum, { partition, high }) => sum + Number(high) - (offsets.get(partition) ?? 0),
      0,
    );
  });

describe('the change consumer', () => {
  it('loses and doubles nothing in a storm of rebalances, nor when it goes on after it was stopped for longer than its session', async () => {
    const stormy = await scene.make('stormy');
    await scene.insert(stormy, stories('stormy', 0, 30));
    const racing = [scene.writer(stormy, 100), scene.writer(scene.bystander, 400)];
    for (let i = 0; i < 8; i++) {
      const known = new Set(await members());
      await more.start();
      await eventually('one more to join', async () => ((await members()).some((id) => !known.has(id)) ? true : null), 60_000);
      if (more.count === 3) await more.end(i % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
    }

    const pid = scene.consumer()?.pid;
    const before = await eventually(
      'the group to be complete',
      async () => {
        const now = await members();
        return now.length === more.count + 1 ? now : null;
      },
      60_000,
    );
    scene.stack.kill('change-consumer', 'SIGSTOP');
    try {
      await sleep(longerThanSessionMs);
      // Others have its partitions, and read what it has not committed.
      await eventually(
        'the group to do without it',
        async () => {
          const now = await members();
          return before.some((id) => !now.includes(id)) ? true : null;
        },
        30_000,
      );
    } finally {
      scene.stack.kill('change-consumer', 'SIGCONT');
    }
    await sleep(3_000);
    await Promise.all(racing.map(({ stop }) => stop()));
    await more.end('SIGTERM');
    await more.endAll();
    await scene.equal(stormy, scene.bystander);
    expect(scene.consumer()?.pid).toBe(pid);
  });

  it('is told of events twice, of pieces, of nothing and of too much, and parks just what nobody can read', async () => {
    const poison = await scene.make('poison');
    await scene.insert(poison, stories('poison', 0, 45));
    await scene.pool.query("DELETE FROM modelwright.examples WHERE tenant_id = 'poison' AND example_id IN ('s1', 's2')");
    await scene.equal(poison);
    const runs = await scene.bystander.count('runs');
    const racing = scene.writer(poison, 150);
    const topic = `${scene.faults.prefix}.modelwright.examples`;
    const events = await eventsOf(scene.kafka, topic, ['poison', 'bystander']);
    expect(events.length).toBeGreaterThan(150);
    const [first, last] = [events[0], events.at(-1)];
    if (!first?.value || !last?.value) throw new Error('the events have no values');
    const padded = { ...(JSON.parse(first.value.toString()) as { after: object }) };
    padded.after = { ...padded.after, pad: 'x'.repeat(900_000) };
    // Ahead of the log's order and behind it, and a real one that is three times as long as a fetch.
    await produce(scene.kafka, topic, [...events.toReversed(), ...events, { ...first, value: Buffer.from(JSON.stringify(padded)) }]);
    await produce(scene.kafka, topic, [
      { ...first, value: first.value.subarray(0, first.value.length - 30) },
      { ...first, value: null },
      { ...first, value: Buffer.alloc(950_000, 'x') },
      { ...last, value: null },
    ]);
    await sleep(3_000);
    await racing.stop();
    parked = ['the value is not JSON', 'the value is not JSON'];
    await eventually(
      'two to be parked',
      async () => ((await headersOfParked(scene.kafka, scene.faults.prefix)).length >= 2 ? true : null),
      60_000,
    );
    for (const headers of await headersOfParked(scene.kafka, scene.faults.prefix)) expect(headers).toMatchObject({ 'mw-topic': topic });
    await scene.equal(poison);
    // What was counted before is no news.
    expect(await scene.bystander.count('runs')).toBe(runs);
  });

  it('that is killed when a signal was accepted and its offset not committed counts the commit once', async () => {
    const killed = await scene.make('killed');
    await scene.insert(killed, stories('killed', 0, 45));
    await scene.equal(killed);
    const watermark = async (): Promise<number> => {
      const pending = await scene.temporal.client.workflow.getHandle('tenant/killed').query<TenantPending>('getPending');
      const marks = Object.entries(pending.watermarks).filter(([partition]) => partition.includes('.examples/'));
      return Math.max(...marks.flatMap(([, sources]) => Object.values(sources).map(({ gtid }) => Number(gtid.split(':')[1]))));
    };
    let uncommitted = 0;
    for (let round = 0; round < 10 && uncommitted < 3; round++) {
      await eventually('the consumer to have read all', async () => ((await unread()) === 0 ? true : null), 60_000);
      const commit = await killed.submit(stories('killed', 100 + round * 2, 102 + round * 2));
      await scene.pool.query("DELETE FROM modelwright.examples WHERE tenant_id = 'killed' AND example_id = ?", [`s${round}`]);
      const sequence = Number(commit.split(':')[1]);
      for (const deadline = Date.now() + 30_000; (await watermark()) < sequence && Date.now() < deadline;) await sleep(5);
      scene.stack.kill('change-consumer', 'SIGKILL');
      expect(await watermark()).toBeGreaterThanOrEqual(sequence);
      if ((await unread()) > 0) uncommitted += 1;
      await eventually('the supervisor to start it', async () => (scene.consumer()?.state === 'running' ? true : null), 60_000);
    }
    expect(uncommitted).toBe(3);
    await scene.equal(killed);
  });

  it('that Temporal refuses for lack of resources pauses, says so, parks nothing and goes on', async () => {
    const refused = await scene.make('refused');
    await scene.insert(refused, stories('refused', 0, 45));
    await scene.equal(refused);
    const { command, args } = temporalProcess(scene.stack.config);
    const sinceMs = Date.now();
    await scene.stack.pause('temporal');
    const miser = spawn(
      command,
      [...args, '--dynamic-config-value=frontend.namespaceRPS=0', '--dynamic-config-value=frontend.namespaceBurstRatio=0'],
      { stdio: 'ignore' },
    );
    const ended = once(miser, 'exit');
    try {
      const connection = await eventually(
        'the server',
        () => Connection.connect({ address: scene.stack.config.temporal.address, interceptors: [] }),
        60_000,
      );
      const { namespace } = scene.stack.config.temporal;
      // A new server gives away a first few requests.
      await eventually(
        'the server to refuse',
        () =>
          connection.workflowService.describeWorkflowExecution({ namespace, execution: { workflowId: 'tenant/refused' } }).then(
            () => null,
            ({ code }: { code: number }) => (code === resourceExhausted ? true : null),
          ),
        30_000,
      );
      await connection.close();
      await scene.pool.query("DELETE FROM modelwright.examples WHERE tenant_id = 'refused' AND example_id IN ('s1', 's2', 's3')");
      await scene.insert(refused, stories('refused', 100, 110));
      await scene.insert(scene.bystander, stories('bystander', 200, 203));
      await eventually(
        'the standstill to be named',
        async () => (await scene.faults.conditions()).find((one) => one.code === 'consumer_behind' && one.detectedMs >= sinceMs) ?? null,
        40_000,
      );
      expect((await tableAgainstDataset(scene.stack, scene.pool, refused)).extra.toSorted()).toEqual(['s1', 's2', 's3']);
    } finally {
      miser.kill('SIGTERM');
      await ended;
      await scene.stack.resume('temporal');
    }
    await scene.faults.healed('consumer_behind', sinceMs);
    await scene.equal(refused, scene.bystander);
    await scene.faults.calm();
    // Watermarks that never moved would never go back.
    expect(scene.watch.moves).toBeGreaterThan(3);
  });
});

describe('the table of customizations', () => {
  it('truncated is named, trains nothing more, and is taken as it is when its rows come back', async () => {
    const phases = async (): Promise<number> => {
      const { customizations } = await scene.temporal.client.workflow.getHandle('tenant/bystander').query<TenantStatus>('getStatus');
      return customizations.length;
    };
    await eventually(
      'the last run to have ended',
      async () => {
        const [open] = await scene.pool.query<RowDataPacket[]>('SELECT 1 FROM modelwright_control.runs WHERE ended_at IS NULL');
        return open.length === 0 ? true : null;
      },
      60_000,
    );
    const runs = await scene.bystander.count('runs');
    const [saved] = await scene.pool.query<RowDataPacket[]>("SELECT * FROM modelwright.customizations WHERE tenant_id = 'bystander'");
    const sinceMs = Date.now();
    await scene.pool.query('TRUNCATE modelwright.customizations');
    await scene.insert(scene.bystander, stories('bystander', 300, 303));
    const { action, detectedMs } = await scene.faults.healed('customizations_truncated', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(30_000);
    expect(action).toContain('told to compare');
    await eventually('the workflow to know that it is gone', async () => ((await phases()) === 0 ? true : null), 60_000);
    expect(await scene.bystander.count('runs')).toBe(runs);
    const row = Object.fromEntries(
      Object.entries(saved[0] ?? {}).map(([name, value]) => [
        name,
        value === null || typeof value !== 'object' || value instanceof Date ? value : JSON.stringify(value),
      ]),
    );
    await scene.pool.query('INSERT INTO modelwright.customizations SET ?', row);
    await eventually('the workflow to know it again', async () => ((await phases()) === 1 ? true : null), 60_000);
    await scene.insert(scene.bystander, stories('bystander', 303, 306));
    await scene.equal(scene.bystander);
  });
});
