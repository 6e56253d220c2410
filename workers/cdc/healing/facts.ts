import type { Connector } from '../../../platform/kafka-connect.ts';

/** What was found out about an engine, or why nothing could be: the sentence of the error. */
export type Asked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: string };

export type LogEnd = { readonly file: string; readonly pos: number };

export type SourceFacts = {
  readonly serverUuid: string;
  readonly serverId: string;
  readonly executed: string;
  readonly purged: string;
  /** File that is being written, and how long it is; null where REPLICATION CLIENT is not granted. */
  readonly log: LogEnd | null;
  /** Variables that decide what is in the log, by name. */
  readonly settings: Readonly<Record<string, string>>;
};

export type PartitionFacts = {
  readonly partition: number;
  /** Log start: the oldest offset that can be read. */
  readonly low: number;
  /** Log end: the offset of the next record. */
  readonly high: number;
  /** What the change consumer has committed; null: nothing. */
  readonly committed: number | null;
  /** kafkajs moved it to the oldest record by itself, because its own offset was out of range. */
  readonly moved: boolean;
};

export type TopicFacts = { readonly name: string; readonly partitions: readonly PartitionFacts[] };

export type KafkaFacts = { readonly topics: readonly string[]; readonly watched: readonly TopicFacts[] };

/** A jump in the offsets of what was read: `expected` never came. */
export type Jump = { readonly topic: string; readonly partition: number; readonly expected: number; readonly got: number };

/** What readers have seen since the last look. */
export type Seen = {
  readonly jumps: readonly Jump[];
  /** Topics in which rows of a snapshot were read. */
  readonly snapshots: readonly string[];
  /** Where in the topic of a connector's schema changes it told of the structure that it found: it began there, or began anew. */
  readonly beginnings: readonly { readonly topic: string; readonly offset: number }[];
};

/** One look at everything between the binary log and the change consumer. Connectors are asked before the source, so that it is never behind them. */
export type Facts = Seen & {
  readonly atMs: number;
  readonly connect: Asked<readonly Connector[]>;
  readonly source: Asked<SourceFacts>;
  readonly kafka: Asked<KafkaFacts>;
};

/** What must be there: names of topics with what they are for, and the connector of the managed tables. */
export type Expected = {
  readonly connectorName: string;
  readonly topics: readonly string[];
  /** Topics that the change consumer always reads; it may read others too. */
  readonly consumed: readonly string[];
  /** Connectors that something else makes, changes and restarts: theirs are named here, and healed here only after a reset of the log. */
  readonly keptByOthers: (connector: string) => boolean;
};

/** What is remembered of the source over restarts. */
export type SourceMark = {
  readonly serverUuid: string;
  readonly serverId: string;
  readonly executed: string;
  readonly log: LogEnd | null;
};

/** What is remembered in all: persisted marks, and what the last look saw. */
export type Memory = {
  readonly source: SourceMark | null;
  /** Topics of which the consumer has committed offsets. */
  readonly consumed: ReadonlySet<string>;
  /** Connectors that have had a position. */
  readonly positioned: ReadonlySet<string>;
  /** By connector: the end of its topic of schema changes when its present beginning was over. What it finds after that is another beginning. */
  readonly begun: ReadonlyMap<string, number>;
  /** By connector: its position and since when, the source's GTIDs when it was first seen there, and since when the source has more. */
  readonly positions: ReadonlyMap<
    string,
    { readonly text: string; readonly sinceMs: number; readonly executedThen: string; readonly aheadSinceMs: number | null }
  >;
  /** By connector: its configuration, to make it again when somebody deletes it. */
  readonly configs: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** By `topic/partition`: the end seen last, what was committed and since when. */
  readonly ends: ReadonlyMap<string, { readonly high: number; readonly committed: number | null; readonly sinceMs: number }>;
};

export const noMemory: Memory = {
  source: null,
  consumed: new Set(),
  positioned: new Set(),
  begun: new Map(),
  positions: new Map(),
  configs: new Map(),
  ends: new Map(),
};
