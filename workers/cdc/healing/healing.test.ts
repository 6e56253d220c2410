import { describe, expect, it } from 'vitest';
import type { Connector } from '../../../platform/kafka-connect.ts';
import { capturedBy, carriedBy } from './affected.ts';
import { type Book, type Condition, conditionKey, emptyBook, observe, withoutOwnSteps } from './condition-book.ts';
import { type ConditionCode, conditionCodes, conditionRules, type Finding } from './conditions.ts';
import { connectorFindings } from './detect-connectors.ts';
import { sourceFindings, wantedSettings } from './detect-source.ts';
import { topicFindings } from './detect-topics.ts';
import { type Expected, type Facts, type Memory, noMemory, type PartitionFacts, type SourceFacts } from './facts.ts';
import { remember, sourceMark } from './memory.ts';
import { ReadingSeen } from './reading-seen.ts';
import { withEpoch } from '../log-epoch.ts';
import { noRestarts, planRestarts } from './restarts.ts';

const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const replica = '4e11fa47-71ca-11e1-9e33-c80aa9429562';
const topic = 'mw.modelwright.examples';
const history = '_schema_history_mw';
const second = 1_000;
const noon = Date.parse('2026-03-02T12:00:00Z');

const expected: Expected = {
  connectorName: 'modelwright',
  topics: [topic, history],
  consumed: [topic],
  keptByOthers: (name) => name.startsWith('modelwright-source-'),
};

const connector = (over: Partial<Connector> & { readonly gtids?: string } = {}): Connector => ({
  name: 'modelwright',
  state: 'RUNNING',
  failures: [],
  trace: '',
  tasks: [{ id: 0, state: 'RUNNING' }],
  config: {
    'topic.prefix': 'mw',
    'schema.history.internal.kafka.topic': history,
    'table.include.list': 'modelwright.customizations,modelwright.examples',
  },
  position: { gtids: over.gtids ?? `${uuid}:1-99`, file: 'binlog.000007', pos: 4, snapshot: false, text: over.gtids ?? 'same' },
  ...over,
});

const source = (over: Partial<SourceFacts> = {}): SourceFacts => ({
  serverUuid: uuid,
  serverId: '1',
  executed: `${uuid}:1-100`,
  purged: `${uuid}:1-50`,
  log: { file: 'binlog.000007', pos: 1_000 },
  settings: wantedSettings,
  ...over,
});

const partition = (over: Partial<PartitionFacts> = {}): PartitionFacts => ({
  partition: 0,
  low: 0,
  high: 500,
  committed: 500,
  moved: false,
  ...over,
});

type Part = {
  source?: Partial<SourceFacts>;
  connectors?: readonly Connector[];
  partition?: Partial<PartitionFacts>;
  topics?: readonly string[];
  schemaEnd?: number;
};

const facts = (part: Part & Partial<Pick<Facts, 'atMs' | 'jumps' | 'beginnings'>> = {}): Facts => ({
  atMs: part.atMs ?? noon,
  connect: { ok: true, value: part.connectors ?? [connector()] },
  source: { ok: true, value: source(part.source) },
  kafka: {
    ok: true,
    value: {
      topics: part.topics ?? expected.topics,
      watched: [
        { name: topic, partitions: [partition(part.partition)] },
        { name: history, partitions: [partition({ committed: null })] },
        { name: 'mw', partitions: [partition({ high: part.schemaEnd ?? 40, committed: null })] },
      ],
    },
  },
  jumps: part.jumps ?? [],
  snapshots: [],
  beginnings: part.beginnings ?? [],
});

const known = (over: Partial<Memory> = {}): Memory => ({
  ...noMemory,
  source: { serverUuid: uuid, serverId: '1', executed: `${uuid}:1-95`, log: { file: 'binlog.000007', pos: 900 } },
  consumed: new Set([topic]),
  positioned: new Set(['modelwright']),
  ...over,
});

const findings = (now: Facts, memory: Memory = known()): Finding[] => [
  ...sourceFindings(now, memory),
  ...connectorFindings(now, memory, expected),
  ...topicFindings(now, memory, expected),
];
const codes = (now: Facts, memory?: Memory): ConditionCode[] => findings(now, memory).map(({ code }) => code);

describe('a look at the sensing', () => {
  it('finds nothing where nothing is wrong, at first sight as well', () => {
    expect(codes(facts())).toEqual([]);
    expect(codes(facts(), noMemory)).toEqual([]);
  });

  it('names an engine that does not answer, and says nothing of what it could not ask', () => {
    const away = { ok: false, error: 'connect ECONNREFUSED' } as const;
    expect(codes({ ...facts(), source: away, connect: away, kafka: away })).toEqual([
      'mysql_unreachable',
      'connect_unreachable',
      'kafka_unreachable',
    ]);
  });

  it('names every setting that is wrong, with the statement that mends it', () => {
    const [finding] = findings(facts({ source: { settings: { ...wantedSettings, binlog_format: 'STATEMENT' } } }));
    expect(finding).toMatchObject({ code: 'binlog_settings_wrong', detail: expect.stringContaining('SET PERSIST binlog_format = ROW') });
  });

  it('takes a log that lacks what was read for a reset one, whoever has read it', () => {
    expect(codes(facts({ source: { executed: `${uuid}:1-5` } }))).toContain('binlog_reset');
    expect(codes(facts({ source: { executed: `${uuid}:1-5` }, connectors: [connector({ gtids: `${uuid}:1-5` })] }))).toEqual([
      'binlog_reset',
    ]);
    expect(codes(facts({ connectors: [connector({ gtids: `${uuid}:1-100,${replica}:1` })] }))).toContain('binlog_reset');
  });

  it('finds a reset out by where the log ends when the transactions have caught up', () => {
    expect(codes(facts({ source: { executed: `${uuid}:1-400`, purged: '', log: { file: 'binlog.000001', pos: 5_000 } } }))).toEqual([
      'binlog_reset',
    ]);
    expect(codes(facts({ source: { executed: `${uuid}:1-400`, purged: '', log: { file: 'binlog.000007', pos: 800 } } }))).toEqual([
      'binlog_reset',
    ]);
    // Another server counts its files by itself.
    expect(codes(facts({ source: { serverUuid: replica, log: { file: 'binlog.000001', pos: 4 } } }))).toEqual(['server_changed']);
  });

  it('tells a failover that goes on from one that lost transactions', () => {
    const promoted = { serverUuid: replica, serverId: '2', executed: `${uuid}:1-100,${replica}:1-3` };
    expect(codes(facts({ source: promoted }))).toEqual(['server_changed']);
    expect(codes(facts({ source: { ...promoted, executed: `${uuid}:1-90,${replica}:1-3` } }))).toEqual(['server_changed', 'binlog_reset']);
  });

  it('knows purged transactions that are still to be read from those that were', () => {
    const failed = connector({ gtids: `${uuid}:1-40`, failures: ['no longer available on the server'] });
    expect(findings(facts({ connectors: [failed] }))).toMatchObject([
      { code: 'connector_task_failed' },
      { code: 'binlog_purged', detail: expect.stringContaining('10 transactions') },
    ]);
    expect(codes(facts({ connectors: [connector({ gtids: `${uuid}:1-50`, failures: ['gone'] })] }))).toEqual(['connector_task_failed']);
    // What Kafka Connect tells of a running connector is a moment old.
    expect(codes(facts({ connectors: [connector({ gtids: `${uuid}:1-40` })] }))).toEqual([]);
  });

  it('calls a running connector stalled when the source moves and it does not, and an idle one not', () => {
    let memory = remember(known(), facts());
    expect(codes(facts({ atMs: noon + 60 * second }), memory)).toEqual([]);
    // The first commit after a quiet minute: the connector has a moment to read it.
    const moved = { executed: `${uuid}:1-120` };
    expect(codes(facts({ atMs: noon + 60 * second, source: moved }), memory)).toEqual([]);
    memory = remember(memory, facts({ atMs: noon + 60 * second, source: moved }));
    expect(codes(facts({ atMs: noon + 70 * second, source: moved }), memory)).toEqual([]);
    memory = remember(memory, facts({ atMs: noon + 70 * second, source: { executed: `${uuid}:1-130` } }));
    expect(codes(facts({ atMs: noon + 81 * second, source: moved }), memory)).toEqual(['connector_stalled']);
    const moving = connector({ gtids: `${uuid}:1-110` });
    expect(codes(facts({ atMs: noon + 81 * second, source: moved, connectors: [moving] }), memory)).toEqual([]);
  });

  it('misses a connector that was there, one without its position, and one that a person stopped', () => {
    expect(codes(facts({ connectors: [] }))).toEqual(['connector_missing']);
    expect(codes(facts({ connectors: [connector({ position: null })] }))).toEqual(['connector_position_missing']);
    expect(codes(facts({ connectors: [connector({ position: null })] }), noMemory)).toEqual([]);
    expect(codes(facts({ connectors: [connector({ state: 'STOPPED', tasks: [] })] }))).toEqual(['connector_stopped']);
    const mapped = new Map([['modelwright-source-shop', {}]]);
    expect(codes(facts(), known({ configs: mapped }))).toEqual([]);
  });

  it('finds a connector out that began anew after its beginning was over, and no other', () => {
    const found = (offset: number) => [{ topic: 'mw', offset }];
    expect(codes(facts({ beginnings: found(39) }), noMemory)).toEqual([]);
    let memory = remember(known(), facts({ connectors: [connector({ position: null })] }));
    expect(codes(facts({ beginnings: found(39) }), memory)).toEqual([]);
    memory = remember(memory, facts());
    expect(codes(facts({ beginnings: found(39) }), memory)).toEqual([]);
    memory = remember(memory, facts({ schemaEnd: 45 }));
    expect(codes(facts({ beginnings: found(42) }), memory)).toEqual(['connector_began_anew']);
    expect(codes(facts({ beginnings: [{ topic: 'mw-source-shop', offset: 42 }] }), memory)).toEqual([]);
    // A topic of schema changes that was created again begins to count anew.
    memory = remember(memory, facts({ schemaEnd: 3 }));
    expect(codes(facts({ beginnings: found(3) }), memory)).toEqual(['connector_began_anew']);
  });

  it('misses topics, and a history of structures that is empty', () => {
    expect(codes(facts({ topics: [history] }))).toEqual(['topic_missing']);
    const emptied = facts();
    const kafka = emptied.kafka.ok ? emptied.kafka.value : null;
    const empty = [{ name: history, partitions: [partition({ low: 7, high: 7, committed: null })] }];
    expect(codes({ ...emptied, kafka: { ok: true, value: { topics: kafka?.topics ?? [], watched: empty } } })).toEqual([
      'schema_history_missing',
    ]);
  });

  it('knows a topic that was created again by its end, by what was committed, and by what is no longer', () => {
    const memory = remember(known(), facts());
    expect(codes(facts({ partition: { high: 3, committed: 3 } }), memory)).toEqual(['topic_recreated']);
    expect(codes(facts({ partition: { high: 3, committed: 500 } }))).toEqual(['topic_recreated']);
    expect(codes(facts({ partition: { committed: null } }))).toEqual(['topic_recreated']);
    expect(codes(facts({ partition: { committed: null } }), noMemory)).toEqual([]);
    // One that is known to be missing is told of once.
    const missing = remember(memory, { ...facts(), kafka: { ok: true, value: { topics: [history], watched: [] } } });
    expect(codes(facts({ partition: { high: 3, committed: null } }), missing)).toEqual([]);
  });

  it('finds events out that were removed before they were read, and in which partition', () => {
    const lost = { code: 'offsets_out_of_range', partitions: [0] };
    expect(findings(facts({ partition: { low: 450, committed: 400 } }))).toMatchObject([lost]);
    expect(findings(facts({ partition: { low: 450, committed: null, moved: true } }))).toMatchObject([lost]);
    const jump = { topic, partition: 0, expected: 400, got: 450 };
    expect(findings(facts({ partition: { low: 450 }, jumps: [jump] }))).toMatchObject([lost]);
    // A jump over what is still there leaves out nothing that a consumer is given.
    expect(codes(facts({ partition: { low: 100 }, jumps: [jump] }))).toEqual([]);
  });

  it('sees a consumer that takes nothing while events wait', () => {
    const waiting = { high: 500, committed: 400 };
    let memory = remember(known(), facts({ partition: waiting }));
    memory = remember(memory, facts({ atMs: noon + 2 * second, partition: waiting }));
    expect(codes(facts({ atMs: noon + 10 * second, partition: waiting }), memory)).toEqual([]);
    expect(codes(facts({ atMs: noon + 16 * second, partition: waiting }), memory)).toEqual(['consumer_behind']);
    expect(codes(facts({ atMs: noon + 16 * second, partition: { high: 500, committed: 450 } }), memory)).toEqual([]);
  });
});

describe('the book of conditions', () => {
  const fault: Finding = { code: 'connector_stopped', subject: 'modelwright', detail: 'stopped' };
  const lossy: Finding = { code: 'offsets_out_of_range', subject: topic, detail: 'lost', partitions: [1] };

  it('opens what is found in as many looks as its rule asks for, once', () => {
    const first = observe(emptyBook, [fault], noon);
    expect(first.opened).toEqual([]);
    const next = observe(first.book, [fault], noon + 2 * second);
    expect(next.opened).toMatchObject([{ code: 'connector_stopped', state: 'open', detectedAtMs: noon + 2 * second }]);
    expect(observe(next.book, [fault], noon + 4 * second).opened).toEqual([]);
    expect(observe(observe(emptyBook, [fault], noon).book, [], noon).book.streaks.size).toBe(0);
  });

  it('ends a condition with its cause, but one that hides a loss only with its healing', () => {
    const open = new Map(
      [fault, lossy].map((finding): [string, Condition] => [
        conditionKey(finding),
        { ...finding, id: '1', state: 'open', detectedAtMs: noon, action: null },
      ]),
    );
    const { book, ended } = observe({ open, streaks: new Map() }, [], noon);
    expect(ended.map(({ code }) => code)).toEqual(['connector_stopped']);
    expect([...book.open.values()].map(({ code }) => code)).toEqual(['offsets_out_of_range']);
    // What could not be asked has not ended.
    const away: Finding = { code: 'connect_unreachable', subject: 'connect', detail: 'away' };
    expect(observe({ open, streaks: new Map() }, [away], noon).ended).toEqual([]);
  });

  it('does not take a connector for stopped by a person while it is being healed', () => {
    const purged: Condition = {
      code: 'binlog_purged',
      subject: 'modelwright',
      detail: 'purged',
      id: '1',
      state: 'healing',
      detectedAtMs: noon,
      action: null,
    };
    expect(withoutOwnSteps([fault, lossy], { open: new Map([[conditionKey(purged), purged]]), streaks: new Map() })).toEqual([lossy]);
    expect(withoutOwnSteps([fault], emptyBook)).toEqual([fault]);
  });

  it('joins the partitions of one loss', () => {
    const { book } = observe(emptyBook, [lossy], noon);
    const more = observe(book, [{ ...lossy, partitions: [2] }], noon);
    expect([...more.book.open.values()][0]?.partitions).toEqual([1, 2]);
  });

  it('has a rule with a remedy for every code', () => {
    for (const code of conditionCodes) expect(conditionRules[code].remedy.length).toBeGreaterThan(20);
  });
});

describe('restarts of failed connectors', () => {
  const bookOf = (...found: Finding[]): Book => ({
    open: new Map(
      found.map((finding) => [conditionKey(finding), { ...finding, id: '1', state: 'open', detectedAtMs: noon, action: null }] as const),
    ),
    streaks: new Map(),
  });
  const failed: Finding = { code: 'connector_task_failed', subject: 'modelwright', detail: 'failed' };

  it('come at once, then with growing pauses, and not while an engine is away', () => {
    const first = planRestarts(noRestarts, bookOf(failed), facts(), expected.keptByOthers);
    expect(first.now).toEqual([{ name: 'modelwright', onlyFailed: true }]);
    expect(planRestarts(first.restarts, bookOf(failed), facts({ atMs: noon + 0.5 * second }), expected.keptByOthers).now).toEqual([]);
    const again = planRestarts(first.restarts, bookOf(failed), facts({ atMs: noon + 1 * second }), expected.keptByOthers);
    expect(again.now).toHaveLength(1);
    expect(planRestarts(again.restarts, bookOf(failed), facts({ atMs: noon + 2 * second }), expected.keptByOthers).now).toEqual([]);
    const away = { ...facts(), source: { ok: false, error: 'away' } as const };
    expect(planRestarts(noRestarts, bookOf(failed), away, expected.keptByOthers).now).toEqual([]);
  });

  it('leave alone what is healed otherwise, and what others keep', () => {
    const purged: Finding = { code: 'binlog_purged', subject: 'modelwright', detail: 'purged' };
    expect(planRestarts(noRestarts, bookOf(failed, purged), facts(), expected.keptByOthers).now).toEqual([]);
    const mapped = { ...failed, subject: 'modelwright-source-shop' };
    expect(planRestarts(noRestarts, bookOf(mapped), facts(), expected.keptByOthers).now).toEqual([]);
  });
});

describe('what is remembered of the source', () => {
  it('is written anew at once when the server or its file changes, and otherwise rarely', () => {
    const memory = known();
    expect(sourceMark(memory, facts(), noon - 10 * second)).toBeNull();
    expect(sourceMark(memory, facts(), noon - 61 * second)).toMatchObject({ executed: `${uuid}:1-100` });
    expect(sourceMark(memory, facts({ source: { executed: `${uuid}:1-96` } }), noon - 61 * second)).toBeNull();
    expect(sourceMark(memory, facts({ source: { log: { file: 'binlog.000008', pos: 4 } } }), noon - 1 * second)).toMatchObject({
      log: { file: 'binlog.000008' },
    });
  });
});

describe('the epoch in a configuration', () => {
  it('is a header that other transforms do not mind, written once, and gone with epoch 0', () => {
    const config = { 'topic.prefix': 'mw', transforms: 'route', 'transforms.route.type': 'R' };
    const marked = withEpoch(withEpoch(config, 1), 2);
    expect(marked).toMatchObject({
      transforms: 'route,mwEpoch',
      'transforms.mwEpoch.value.literal': '2',
      'transforms.mwEpoch.header': 'mw-epoch',
    });
    expect(withEpoch(marked, 0)).toEqual(config);
    expect(withEpoch({ a: 'b' }, 0)).toEqual({ a: 'b' });
  });
});

describe('what a loss concerns', () => {
  it('are the tables that the connector captures, by regular expressions', () => {
    const { table } = capturedBy([{ 'table.include.list': 'shop\\.orders, modelwright.examples' }]);
    expect(['shop.orders', 'modelwright.examples', 'shop.orders_old'].map(table)).toEqual([true, true, false]);
    expect(capturedBy([{ 'database.include.list': 'shop' }]).table('shop.any')).toBe(true);
  });
  it('is the one table of a topic', () => {
    expect(carriedBy(topic).table('modelwright.examples')).toBe(true);
    expect(carriedBy(topic).table('modelwright.customizations')).toBe(false);
    expect(carriedBy('mw-source-shop.shop.ord_rs').table('shop.ord€rs')).toBe(true);
  });
});

describe('jumps in what is read', () => {
  const batch = (...offsets: number[]) => ({
    topic,
    partition: 0,
    records: offsets.map((offset) => ({ offset: String(offset), key: null, value: null })),
  });
  it('are noted between batches, once, and not when reading began anew', () => {
    const jumps = new ReadingSeen();
    jumps.note(batch(3, 4));
    jumps.note(batch(5, 6));
    jumps.note(batch(9));
    jumps.note(batch());
    jumps.snapshotRow(topic);
    jumps.structureFound('mw', '7');
    jumps.structureFound('mw', '9');
    expect(jumps.take()).toEqual({
      jumps: [{ topic, partition: 0, expected: 7, got: 9 }],
      snapshots: [topic],
      beginnings: [{ topic: 'mw', offset: 9 }],
    });
    expect(jumps.take()).toEqual({ jumps: [], snapshots: [], beginnings: [] });
    jumps.rewound();
    jumps.note(batch(4));
    expect(jumps.take().jumps).toEqual([]);
  });
});
