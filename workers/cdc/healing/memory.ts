import { countGtids, parseGtidSet, subtractGtids } from '../../../core/gtid-set.ts';
import { type ConnectorConfig, hasBegun } from '../../../platform/kafka-connect.ts';
import type { Facts, Memory, SourceMark } from './facts.ts';

/** Pure: what the next look must know of this one. The source's mark is moved by `sourceMark`, not here: a fault must not overwrite what proves it. */
export function remember(memory: Memory, facts: Facts): Memory {
  const { connect, source, kafka, atMs } = facts;
  const configs = new Map(memory.configs);
  const positioned = new Set(memory.positioned);
  const begun = new Map(memory.begun);
  // Time in which nobody could move is no standstill.
  const positions = new Map(connect.ok && source.ok ? memory.positions : []);
  for (const connector of connect.ok ? connect.value : []) {
    const { name, position, config, state, failures } = connector;
    configs.set(name, config);
    if (position !== null) positioned.add(name);
    const end = hasBegun(connector) ? schemaTopicEnd(facts, config) : null;
    // A topic that ends before what was remembered of it was created again.
    if (end !== null) begun.set(name, Math.min(end, begun.get(name) ?? end));
    const seen = positions.get(name);
    if (position === null || !source.ok) positions.delete(name);
    else if (seen?.text !== position.text || state !== 'RUNNING' || failures.length > 0)
      positions.set(name, { text: position.text, sinceMs: atMs, executedThen: source.value.executed, aheadSinceMs: null });
    else if (seen.aheadSinceMs === null && seen.executedThen !== source.value.executed)
      positions.set(name, { ...seen, aheadSinceMs: atMs });
  }
  const ends = new Map(memory.ends);
  if (!kafka.ok) for (const [key, seen] of ends) ends.set(key, { ...seen, sinceMs: atMs });
  const consumed = new Set(memory.consumed);
  if (kafka.ok) {
    // A topic that is missing is named so; that its offsets begin again when it is back is no news.
    const gone = [...consumed, ...[...ends.keys()].map((key) => key.slice(0, key.lastIndexOf('/')))].filter(
      (topic) => !kafka.value.topics.includes(topic),
    );
    for (const topic of gone) consumed.delete(topic);
    for (const key of ends.keys()) if (gone.includes(key.slice(0, key.lastIndexOf('/')))) ends.delete(key);
  }
  for (const { name, partitions } of kafka.ok ? kafka.value.watched : [])
    for (const { partition, high, low, committed } of partitions) {
      const key = `${name}/${partition}`;
      const seen = ends.get(key);
      const idle = high === Math.max(low, committed ?? low);
      // Time runs from when there was something to take.
      const sinceMs = seen && seen.committed === committed && !idle ? seen.sinceMs : atMs;
      ends.set(key, { high, committed, sinceMs });
      if (committed !== null) consumed.add(name);
    }
  return { ...memory, positions, configs, positioned, begun, ends, consumed };
}

/** Where the topic that tells of a connector's schema changes ends; null where it is not known. */
function schemaTopicEnd({ kafka }: Facts, config: ConnectorConfig): number | null {
  const topic = kafka.ok ? kafka.value.watched.find(({ name }) => name === config['topic.prefix']) : undefined;
  return topic?.partitions[0]?.high ?? null;
}

/** The mark of the source is written this often at most: each writing is a transaction of its own in the very log that is watched. */
const markEveryMs = 60_000;

/** The new mark of a source with which nothing is wrong, or null where the old one is good enough. */
export function sourceMark(memory: Memory, facts: Facts, markedAtMs: number): SourceMark | null {
  if (!facts.source.ok) return null;
  const { serverUuid, serverId, executed, log } = facts.source.value;
  const now = { serverUuid, serverId, executed, log };
  const { source: before } = memory;
  if (!before || before.log?.file !== log?.file || before.serverUuid !== serverUuid || before.serverId !== serverId) return now;
  if (facts.atMs - markedAtMs < markEveryMs) return null;
  // One of them is the last writing of the mark itself.
  return countGtids(subtractGtids(parseGtidSet(executed), parseGtidSet(before.executed))) > 1 ? now : null;
}
