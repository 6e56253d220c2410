import type { Finding } from './conditions.ts';
import type { Expected, Facts, KafkaFacts, Memory, PartitionFacts, TopicFacts } from './facts.ts';

/** A consumer that commits nothing for this long while there is something to read is not just busy. */
const behindAfterMs = 15_000;

/** What is wrong with topics and with the consumer's place in them. */
export function topicFindings(facts: Facts, memory: Memory, expected: Expected): Finding[] {
  const { kafka, jumps, atMs } = facts;
  if (!kafka.ok) return [{ code: 'kafka_unreachable', subject: 'kafka', detail: `Kafka does not answer: ${kafka.error}` }];
  const there = new Set(kafka.value.topics);
  const findings: Finding[] = expected.topics
    .filter((topic) => !there.has(topic))
    .map((topic) => ({ code: 'topic_missing', subject: topic, detail: `topic ${topic} does not exist` }));
  for (const topic of kafka.value.watched) {
    if (!isConsumed(topic.name, memory, expected) || topic.partitions.length === 0) continue;
    const lost = topic.partitions.filter((one) => isOutOfRange(one) || jumps.some((jump) => isLoss(jump, topic.name, one)));
    const again = recreated(topic, memory, jumps);
    if (again !== null) findings.push({ code: 'topic_recreated', subject: topic.name, detail: again });
    else if (lost.length > 0)
      findings.push({
        code: 'offsets_out_of_range',
        subject: topic.name,
        detail: `events of topic ${topic.name} were removed before they were read (partitions ${lost.map(({ partition }) => partition).join(', ')})`,
        partitions: lost.map(({ partition }) => partition),
      });
  }
  for (const topic of facts.snapshots)
    findings.push({
      code: 'snapshot_taken',
      subject: topic,
      detail: `rows of a snapshot came by topic ${topic}: the connector began anew, and what changed before is not told of`,
    });
  findings.push(...behind(kafka.value, memory, expected, atMs));
  return findings;
}

const isConsumed = (topic: string, memory: Memory, expected: Expected): boolean =>
  expected.consumed.includes(topic) || memory.consumed.has(topic);

const isOutOfRange = ({ committed, low, moved }: PartitionFacts): boolean => moved || (committed !== null && committed < low);

/** Offsets also jump over what a compaction or a transaction leaves out: only what the broker no longer has was lost. */
const isLoss = (jump: Facts['jumps'][number], topic: string, { partition, low }: PartitionFacts): boolean =>
  jump.topic === topic && jump.partition === partition && jump.got > jump.expected && jump.expected < low;

function recreated({ name, partitions }: TopicFacts, memory: Memory, jumps: Facts['jumps']): string | null {
  for (const { partition, high, committed } of partitions) {
    const seen = memory.ends.get(`${name}/${partition}`);
    if (seen && high < seen.high)
      return `topic ${name} ends at offset ${high} of partition ${partition}, where it had ${seen.high}: it was created again`;
    if (committed !== null && committed > high)
      return `topic ${name} ends at offset ${high} of partition ${partition}, before the committed ${committed}: it was created again`;
    const jump = jumps.find((one) => one.topic === name && one.partition === partition && one.got < one.expected);
    if (jump)
      return `topic ${name} began again at offset ${jump.got} of partition ${partition} after ${jump.expected}: it was created again`;
  }
  if (memory.consumed.has(name) && partitions.every(({ committed, moved }) => committed === null && !moved))
    return `topic ${name} was read before, and nothing is committed any more: it was created again, or the group's offsets have expired`;
  return null;
}

function behind({ watched }: KafkaFacts, memory: Memory, expected: Expected, atMs: number): Finding[] {
  const waiting = watched
    .filter(({ name }) => isConsumed(name, memory, expected))
    .flatMap(({ name, partitions }) =>
      partitions.map(({ partition, low, high, committed }) => {
        const seen = memory.ends.get(`${name}/${partition}`);
        const unmovedMs = seen && seen.committed === committed ? atMs - seen.sinceMs : 0;
        return { events: high - Math.max(low, committed ?? low), unmovedMs };
      }),
    )
    .filter(({ events, unmovedMs }) => events > 0 && unmovedMs >= behindAfterMs);
  if (waiting.length === 0) return [];
  const events = waiting.reduce((sum, one) => sum + one.events, 0);
  const longestMs = Math.max(...waiting.map(({ unmovedMs }) => unmovedMs));
  return [
    {
      code: 'consumer_behind',
      subject: 'change-consumer',
      detail: `${events} events wait and none was taken for ${Math.round(longestMs / 1_000)} s`,
    },
  ];
}
