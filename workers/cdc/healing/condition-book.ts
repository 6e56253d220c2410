import { type ConditionCode, conditionRules, type Finding } from './conditions.ts';

/** A fault from its detection to its end. */
export type Condition = Finding & {
  /** Row of sensing_conditions; null while MySQL could not take it. */
  readonly id: string | null;
  readonly state: 'open' | 'healing';
  readonly detectedAtMs: number;
  readonly action: string | null;
};

/** What is wrong now, and findings that are not confirmed yet, by code and subject. */
export type Book = { readonly open: ReadonlyMap<string, Condition>; readonly streaks: ReadonlyMap<string, number> };

export const emptyBook: Book = { open: new Map(), streaks: new Map() };
export const conditionKey = ({ code, subject }: Pick<Finding, 'code' | 'subject'>): string => `${code} ${subject}`;

/** Pure: opens what was found often enough, and ends what is no longer found and needs no healing. */
export function observe(
  book: Book,
  findings: readonly Finding[],
  atMs: number,
): { readonly book: Book; readonly opened: readonly Condition[]; readonly ended: readonly Condition[] } {
  const open = new Map(book.open);
  const streaks = new Map<string, number>();
  const opened: Condition[] = [];
  for (const finding of findings) {
    const key = conditionKey(finding);
    const known = open.get(key);
    if (known) {
      open.set(key, { ...known, detail: finding.detail, ...joined(known, finding) });
      continue;
    }
    const seen = (book.streaks.get(key) ?? 0) + 1;
    if (seen < conditionRules[finding.code].looks) {
      streaks.set(key, seen);
      continue;
    }
    const condition: Condition = { ...finding, id: null, state: 'open', detectedAtMs: atMs, action: null };
    open.set(key, condition);
    opened.push(condition);
  }
  const found = new Set(findings.map(conditionKey));
  const unknown = unanswered(findings);
  const ended = [...open.values()].filter(
    (one) => !conditionRules[one.code].latched && !found.has(conditionKey(one)) && !unknown(one.code),
  );
  for (const condition of ended) open.delete(conditionKey(condition));
  return { book: { open, streaks }, opened, ended };
}

/** A connector that a healing has stopped, and that a consumer which died left so, is no fault of its own. */
export const withoutOwnSteps = (findings: readonly Finding[], { open }: Book): Finding[] =>
  findings.filter(
    ({ code, subject }) =>
      code !== 'connector_stopped' ||
      ![...open.values()].some((one) => conditionRules[one.code].latched && (one.subject === subject || one.code === 'binlog_reset')),
  );

function joined(known: Condition, { partitions }: Finding): Pick<Finding, 'partitions'> {
  // A condition that was read back from its row has lost its partitions: it stays about all of them.
  if (!known.partitions || !partitions) return {};
  return { partitions: [...new Set([...known.partitions, ...partitions])] };
}

/** Nothing was found about what could not be asked: its conditions neither begin nor end. */
function unanswered(findings: readonly Finding[]): (code: ConditionCode) => boolean {
  const codes = new Set(findings.map(({ code }) => code));
  return (code) =>
    (codes.has('connect_unreachable') && code.startsWith('connector_')) ||
    (codes.has('kafka_unreachable') && code === 'consumer_behind') ||
    (codes.has('mysql_unreachable') && code === 'connector_stalled');
}
