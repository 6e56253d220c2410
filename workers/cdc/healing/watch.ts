import { nowMs, sleep } from '../../../platform/clock.ts';
import type { Logger } from '../../../platform/logger.ts';
import type { Pool } from '../../../platform/mysql.ts';
import type { ChangesMissed } from '../../../core/tenant-messages.ts';
import { affectedTenants } from './affected.ts';
import { type Book, type Condition, conditionKey, emptyBook, observe, withoutOwnSteps } from './condition-book.ts';
import { type ConditionStore, watchLock } from './condition-store.ts';
import { type ConditionCode, conditionRules } from './conditions.ts';
import { connectorFindings } from './detect-connectors.ts';
import { sourceFindings } from './detect-source.ts';
import { topicFindings } from './detect-topics.ts';
import { type Facts, type Memory, type Seen, noMemory } from './facts.ts';
import type { HealingMetrics } from './healing-metrics.ts';
import { look } from './look.ts';
import { remember, sourceMark } from './memory.ts';
import { type RepairDeps, repair } from './repairs.ts';
import { type Restarts, noRestarts, planRestarts } from './restarts.ts';

const lookEveryMs = 2_000;
/** Found by offsets that jump and by rows that come, not by asking. */
const seenByReaders: readonly ConditionCode[] = ['offsets_out_of_range', 'topic_recreated', 'snapshot_taken', 'connector_began_anew'];
/** Tenants that are told in one look: what they compare is load on MySQL, and nobody waits for the last of thousands. */
const toldPerLook = 50;
/** A repair that failed is tried again after this, doubled up to the longest. */
const firstRetryMs = 2_000;
const longestRetryMs = 30_000;

export type WatchDeps = Omit<RepairDeps, 'signal'> & {
  readonly pool: Pool;
  readonly store: ConditionStore;
  readonly tellMissed: (tenantId: string, missed: ChangesMissed) => Promise<void>;
  /** What the consumer has seen since it was asked last. */
  readonly seen: () => Seen;
  readonly metrics: HealingMetrics;
  readonly logger: Logger;
};

/** What a healing has come to, while this process lives; after its death the repair is repeated. */
type Healing = { readonly affected: ReadonlyMap<string, ChangesMissed> | null; readonly action: string };

/** Watches the way from the binary log to the change consumer: looks, names what is wrong, and heals it. One of all consumers does. */
export function createWatch(deps: WatchDeps) {
  const { pool, store, metrics, logger } = deps;
  const stopping = new AbortController();
  const lock = watchLock(pool);
  const healings = new Map<string, Healing>();
  const retries = new Map<string, { readonly failures: number; readonly atMs: number }>();
  let book: Book = emptyBook;
  let memory: Memory = noMemory;
  let marked = new Set<string>();
  let markedBeginnings = new Map<string, number | null>();
  let markedAtMs = 0;
  let restarts: Restarts = noRestarts;
  let watching = false;

  async function begin(): Promise<void> {
    const { source, consumed, positioned, begun } = await store.loadMarks();
    memory = { ...noMemory, source, consumed: new Set(consumed), positioned: new Set(positioned), begun };
    marked = new Set(consumed);
    markedBeginnings = new Map(positioned.map((name) => [name, begun.get(name) ?? null]));
    book = { open: new Map((await store.load()).map((condition) => [conditionKey(condition), condition] as const)), streaks: new Map() };
    for (const condition of book.open.values()) metrics.condition.set(labels(condition), 1);
    watching = true;
    logger.info({ open: book.open.size }, 'watching the way from the binary log to this consumer');
  }

  async function mine(): Promise<boolean> {
    try {
      const held = await lock.take();
      if (held && !watching) await begin();
      else if (!held && watching) {
        watching = false;
        metrics.condition.reset();
      }
      return held;
    } catch {
      // MySQL is away: who watched goes on, so that it is said.
      return watching;
    }
  }

  async function once(healing: boolean): Promise<void> {
    if (!(await mine())) return await report();
    const facts = await look(deps, deps.seen);
    // Whoever lets a connector begin anew says so first, perhaps in another process.
    if (facts.beginnings.length > 0 && facts.source.ok) await learnBeginnings();
    const all = [
      ...sourceFindings(facts, memory),
      ...connectorFindings(facts, memory, deps.expected),
      ...topicFindings(facts, memory, deps.expected),
    ];
    const findings = withoutOwnSteps(all, book);
    const seen = observe(book, findings, facts.atMs);
    book = seen.book;
    memory = remember(memory, facts);
    for (const condition of seen.opened) {
      metrics.condition.set(labels(condition), 1);
      logger.warn({ code: condition.code, subject: condition.subject, detail: condition.detail }, 'something is wrong with sensing');
    }
    if (facts.source.ok) {
      await keepConditions();
      await adopt();
      await keepMarks(facts);
    }
    for (const condition of seen.ended) await end(condition, condition.action ?? 'it went by itself');
    if (!healing) return;
    const found = new Set(findings.map(conditionKey));
    for (const condition of inOrder(book)) await heal(condition, facts, found.has(conditionKey(condition)));
    await restart(facts);
  }

  /** A consumer that does not watch tells what only a reader can see: the one that watches heals it. */
  async function report(): Promise<void> {
    const seen = deps.seen();
    if (seen.jumps.length + seen.snapshots.length + seen.beginnings.length === 0) return;
    const facts = await look(deps, () => seen);
    const { begun } = await store.loadMarks();
    const own = [
      ...connectorFindings(facts, { ...noMemory, begun }, deps.expected),
      ...topicFindings(facts, noMemory, deps.expected),
    ].filter(({ code }) => seenByReaders.includes(code));
    const known = new Set((await store.load()).map(conditionKey));
    for (const finding of own)
      if (!known.has(conditionKey(finding)))
        await store.open({ ...finding, id: null, state: 'open', detectedAtMs: facts.atMs, action: null });
  }

  /** Takes over what others have reported. */
  async function adopt(): Promise<void> {
    const known = new Set([...book.open.values()].map(({ id }) => id));
    for (const condition of await store.load())
      if (!known.has(condition.id) && !book.open.has(conditionKey(condition))) replace(conditionKey(condition), condition);
  }

  /** Rows of conditions that MySQL could not take when they were found. */
  async function keepConditions(): Promise<void> {
    for (const [key, condition] of book.open) if (condition.id === null) replace(key, { ...condition, id: await store.open(condition) });
  }

  async function keepMarks(facts: Facts): Promise<void> {
    for (const topic of memory.consumed) if (!marked.has(topic)) await store.markConsumed(topic).then(() => marked.add(topic));
    for (const name of memory.positioned) {
      const begunAt = memory.begun.get(name) ?? null;
      if (markedBeginnings.has(name) && markedBeginnings.get(name) === begunAt) continue;
      await store.markPositioned(name, begunAt);
      markedBeginnings.set(name, begunAt);
    }
    const lineageInDoubt = [...book.open.values()].some(({ code }) => code === 'server_changed' || code === 'binlog_reset');
    const mark = lineageInDoubt ? null : sourceMark(memory, facts, markedAtMs);
    if (!mark) return;
    await store.markSource(mark);
    memory = { ...memory, source: mark };
    markedAtMs = facts.atMs;
  }

  async function learnBeginnings(): Promise<void> {
    const { begun } = await store.loadMarks();
    memory = { ...memory, begun };
    markedBeginnings = new Map([...markedBeginnings.keys()].map((name) => [name, begun.get(name) ?? null]));
  }

  function replace(key: string, condition: Condition): void {
    book = { ...book, open: new Map([...book.open, [key, condition]]) };
  }

  async function end(condition: Condition, action: string): Promise<void> {
    const { id, code, subject } = condition;
    try {
      // Found and gone again while MySQL was away: it is told all the same.
      const row = id ?? (await store.open(condition));
      await store.end(row, action, nowMs());
    } catch (error) {
      replace(conditionKey(condition), condition);
      logger.warn({ err: error, code }, 'the end of a condition could not be noted yet');
      return;
    }
    const open = new Map(book.open);
    open.delete(conditionKey(condition));
    book = { ...book, open };
    healings.delete(conditionKey(condition));
    retries.delete(conditionKey(condition));
    metrics.condition.remove(labels(condition));
    metrics.healed.inc({ code });
    logger.info({ code, subject, action }, 'sensing is right again');
  }

  async function heal(condition: Condition, facts: Facts, stillFound: boolean): Promise<void> {
    const key = conditionKey(condition);
    const { id, code } = condition;
    if (!conditionRules[code].latched || id === null || (retries.get(key)?.atMs ?? 0) > nowMs()) return;
    try {
      let healing = healings.get(key);
      if (healing && stillFound) {
        // It happened again before everyone was told of the first time.
        healings.delete(key);
        await store.forgetTold(id);
        healing = undefined;
      }
      if (!healing) {
        const repaired = await repair({ ...deps, signal: stopping.signal }, condition, facts, memory, stillFound);
        if (repaired.action !== condition.action) await note(key, condition, repaired.action);
        if (!repaired.done) return;
        const { scope, action } = repaired;
        const affected = scope && (await affectedTenants(pool, scope, `${code}: ${condition.detail}`));
        healing = { affected, action };
        healings.set(key, healing);
        // The repair wrote the mark of what is true now.
        if (code === 'binlog_reset' || code === 'server_changed') memory = { ...memory, source: (await store.loadMarks()).source };
        await learnBeginnings();
      }
      const { affected, action } = healing;
      if (!affected || (await tellSome(id, affected)))
        await end(condition, affected ? `${action}; ${counted(affected.size, 'tenant')} told to compare` : action);
      retries.delete(key);
    } catch (error) {
      if (stopping.signal.aborted) return;
      const failures = (retries.get(key)?.failures ?? 0) + 1;
      retries.set(key, { failures, atMs: nowMs() + Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(failures - 1, 5)) });
      logger.warn({ err: error, code, subject: condition.subject, failures }, 'healing did not succeed yet: trying again');
    }
  }

  async function note(key: string, condition: Condition, action: string): Promise<void> {
    if (condition.id !== null) await store.healing(condition.id, action);
    replace(key, { ...condition, state: 'healing', action });
  }

  /** Tells the next few of the affected tenants to compare their tables; true when all have been told. Key: condition and tenant. */
  async function tellSome(id: string, affected: ReadonlyMap<string, ChangesMissed>): Promise<boolean> {
    const told = await store.told(id);
    const waiting = [...affected].filter(([tenantId]) => !told.has(tenantId));
    for (const [tenantId, missed] of waiting.slice(0, toldPerLook)) {
      await deps.tellMissed(tenantId, missed);
      await store.markTold(id, tenantId);
    }
    return waiting.length <= toldPerLook;
  }

  async function restart(facts: Facts): Promise<void> {
    const plan = planRestarts(restarts, book, facts, deps.expected.keptByOthers);
    restarts = plan.restarts;
    for (const { name, onlyFailed } of plan.now) {
      try {
        await (onlyFailed ? deps.connect.restartFailed(name) : deps.connect.restart(name));
        metrics.restarts.inc({ connector: name });
        const key = conditionKey({ code: onlyFailed ? 'connector_task_failed' : 'connector_stalled', subject: name });
        const condition = book.open.get(key);
        if (condition) replace(key, { ...condition, action: `restarted ${counted(restarts.get(name)?.count ?? 1, 'time')}` });
      } catch (error) {
        logger.warn({ err: error, connector: name }, 'a connector could not be restarted yet');
      }
    }
  }

  async function guarded(healing: boolean): Promise<void> {
    try {
      await once(healing);
    } catch (error) {
      if (!stopping.signal.aborted) logger.warn({ err: error }, 'a look at the sensing failed: trying again');
    }
  }

  let running: Promise<void> = Promise.resolve();
  return {
    /** Looks once before the consumer reads, since reading moves offsets that tell of a loss; then looks on by itself. */
    async start(): Promise<void> {
      await guarded(false);
      running = (async () => {
        while (!stopping.signal.aborted) {
          await sleep(lookEveryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
          if (!stopping.signal.aborted) await guarded(true);
        }
      })();
    },
    async stop(): Promise<void> {
      stopping.abort();
      await running;
      lock.release();
      await deps.kafka.stop();
    },
  };
}

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

const labels = ({ code, subject }: Condition): { code: string; subject: string } => ({ code, subject });

/** Topics before the connectors that write to them, a new epoch before anything that starts in it. */
const inOrder = ({ open }: Book): Condition[] => {
  const first = ['server_changed', 'topic_missing', 'binlog_reset'];
  const rank = ({ code }: Condition): number => (first.includes(code) ? first.indexOf(code) : first.length);
  return [...open.values()].sort((a, b) => rank(a) - rank(b));
};
