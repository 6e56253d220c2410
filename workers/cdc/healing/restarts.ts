import type { Book } from './condition-book.ts';
import type { ConditionCode } from './conditions.ts';
import type { Facts } from './facts.ts';

const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
/** A connector that ran this long without a failure starts again without a pause. */
const forgetMs = 120_000;

/** By connector: how often in a row it was restarted, and when it may be again. */
export type Restarts = ReadonlyMap<string, { readonly count: number; readonly notBeforeMs: number; readonly lastMs: number }>;
export const noRestarts: Restarts = new Map();

/** Restarting it would only fail again, or disturb the healing. */
const healedOtherwise: readonly ConditionCode[] = [
  'binlog_purged',
  'connector_position_missing',
  'schema_history_missing',
  'connector_missing',
];

/**
 * Pure: connectors that must be restarted now. Mandatory: Debezium takes no lost connection for one that comes back (debezium/dbz#2611),
 * so a source that was away for a second leaves a failed task.
 */
export function planRestarts(
  restarts: Restarts,
  { open }: Book,
  { atMs, source, connect, kafka }: Facts,
  keptByOthers: (connector: string) => boolean,
): { readonly restarts: Restarts; readonly now: readonly { readonly name: string; readonly onlyFailed: boolean }[] } {
  const conditions = [...open.values()];
  const next = new Map([...restarts].filter(([, { lastMs }]) => atMs - lastMs < forgetMs));
  const now: { name: string; onlyFailed: boolean }[] = [];
  // Nothing can start without them.
  if (!source.ok || !connect.ok || !kafka.ok || conditions.some(({ code }) => code === 'binlog_reset')) return { restarts: next, now };
  for (const { code, subject } of conditions) {
    if ((code !== 'connector_task_failed' && code !== 'connector_stalled') || keptByOthers(subject)) continue;
    if (conditions.some((other) => other.subject === subject && healedOtherwise.includes(other.code))) continue;
    const { count, notBeforeMs } = next.get(subject) ?? { count: 0, notBeforeMs: 0 };
    if (notBeforeMs > atMs) continue;
    const pauseMs = Math.min(longestPauseMs, code === 'connector_stalled' ? longestPauseMs : firstPauseMs * 2 ** Math.min(count, 5));
    next.set(subject, { count: count + 1, notBeforeMs: atMs + pauseMs, lastMs: atMs });
    now.push({ name: subject, onlyFailed: code === 'connector_task_failed' });
  }
  return { restarts: next, now };
}
