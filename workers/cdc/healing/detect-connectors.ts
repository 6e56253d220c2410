import { countGtids, parseGtidSet, subtractGtids } from '../../../core/gtid-set.ts';
import type { Connector } from '../../../platform/kafka-connect.ts';
import type { Finding } from './conditions.ts';
import { purgedBefore } from './detect-source.ts';
import type { Expected, Facts, Memory, SourceFacts } from './facts.ts';

/** A running connector moves at least with its heartbeats, which come every second; a busy machine takes a while to start one. */
const stalledAfterMs = 20_000;
/** A running connector is up to this long behind what Kafka Connect tells of it; a purge it has passed already is none. */
const positionLagMs = 8_000;

/** What is wrong with connectors, each on its own. */
export function connectorFindings(facts: Facts, memory: Memory, expected: Expected): Finding[] {
  const { connect, source, kafka } = facts;
  if (!connect.ok) return [{ code: 'connect_unreachable', subject: 'connect', detail: `Kafka Connect does not answer: ${connect.error}` }];
  const findings: Finding[] = [];
  const there = new Set(connect.value.map(({ name }) => name));
  for (const name of new Set([expected.connectorName, ...[...memory.configs.keys()].filter((name) => !expected.keptByOthers(name))]))
    if (!there.has(name)) findings.push({ code: 'connector_missing', subject: name, detail: `connector ${name} does not exist` });
  for (const connector of connect.value) {
    const { name, state, failures, position } = connector;
    const finding = (code: Finding['code'], detail: string): void => void findings.push({ code, subject: name, detail });
    if (state === 'STOPPED' || state === 'PAUSED') finding('connector_stopped', `connector ${name} is ${state}`);
    if (failures.length > 0) finding('connector_task_failed', `connector ${name} failed: ${failures[0]}`);
    if (position === null && memory.positioned.has(name))
      finding('connector_position_missing', `Kafka Connect no longer knows how far connector ${name} has read`);
    const begunAt = memory.begun.get(name);
    if (
      facts.beginnings.some(({ topic, offset }) => topic === connector.config['topic.prefix'] && begunAt !== undefined && offset >= begunAt)
    )
      finding('connector_began_anew', `connector ${name} began anew at the end of the log, although nobody lets it: its position was lost`);
    const history = connector.config['schema.history.internal.kafka.topic'];
    if (kafka.ok && history !== undefined && position !== null && historyLost(kafka.value, history))
      finding('schema_history_missing', `topic ${history}, the history of table structures of connector ${name}, is missing or empty`);
    if (source.ok && position !== null) findings.push(...positionFindings(connector, source.value, facts.atMs, memory));
  }
  return findings;
}

function historyLost(
  {
    topics,
    watched,
  }: { topics: readonly string[]; watched: readonly { name: string; partitions: readonly { low: number; high: number }[] }[] },
  topic: string,
): boolean {
  if (!topics.includes(topic)) return true;
  const facts = watched.find(({ name }) => name === topic);
  return facts !== undefined && facts.partitions.length > 0 && facts.partitions.every(({ low, high }) => low === high);
}

function positionFindings({ name, state, failures, position }: Connector, source: SourceFacts, atMs: number, memory: Memory): Finding[] {
  const executed = parseGtidSet(source.executed);
  const read = parseGtidSet(position?.gtids ?? '');
  const seen = memory.positions.get(name);
  const unmovedMs = seen && seen.text === position?.text ? atMs - seen.sinceMs : 0;
  // Without GTIDs (none executed yet, or none at all) nothing can be told of what is purged.
  const purged = position?.gtids ? purgedBefore(executed, parseGtidSet(source.purged), read) : 0;
  const findings: Finding[] = [];
  if (purged > 0 && (failures.length > 0 || unmovedMs >= positionLagMs))
    findings.push({
      code: 'binlog_purged',
      subject: name,
      detail: `${purged} transactions that connector ${name} has not read were purged from the server's log`,
    });
  // The stored position of an idle connector leaves out the transaction it read last: only what came after it counts.
  const ahead = seen ? countGtids(subtractGtids(executed, parseGtidSet(seen.executedThen))) : 0;
  const aheadMs = seen && seen.aheadSinceMs !== null && seen.text === position?.text ? atMs - seen.aheadSinceMs : 0;
  if (state === 'RUNNING' && failures.length === 0 && purged === 0 && ahead > 0 && aheadMs >= stalledAfterMs)
    findings.push({
      code: 'connector_stalled',
      subject: name,
      detail: `the source has committed ${ahead} transactions while connector ${name} has not moved for ${Math.round(aheadMs / 1_000)} s, although it says RUNNING`,
    });
  return findings;
}
