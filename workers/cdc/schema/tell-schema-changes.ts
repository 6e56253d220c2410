import { nowMs } from '../../../platform/clock.ts';
import type { Logger } from '../../../platform/logger.ts';
import type { BarrierMark, RowBarrier } from './row-barrier.ts';
import type { UntoldChange } from './untold-changes.ts';

/** Between two looks at what is untold: one index read. */
const lookIntervalMs = 500;
/** Rows that the connector wrote before a statement are in their topics this long after it at the latest (`linger.ms` is 5). */
const settleMs = 300;
/** A consumer that is far behind does not keep a change back for longer: a hold that comes early is safe, one that comes late is not. */
const barrierLimitMs = 30_000;
const batch = 200;

export type TellingDeps = {
  readonly untold: (limit: number) => Promise<readonly UntoldChange[]>;
  readonly markTold: (change: UntoldChange) => Promise<void>;
  readonly signal: (change: UntoldChange) => Promise<void>;
  readonly barrier: RowBarrier;
  readonly logger: Logger;
};

type Waiting = { readonly sinceMs: number; mark: BarrierMark | null };

/**
 * Tells tenant workflows of changes on record, each after the rows that came before it. What was recorded is told at least once, whoever
 * recorded it and whatever crashed in between; told twice, it counts once.
 */
export function createSchemaTelling(deps: TellingDeps) {
  const { barrier, logger } = deps;
  const waiting = new Map<string, Waiting>();
  let timer: NodeJS.Timeout | null = null;
  let stopped = false;
  let turn: Promise<void> = Promise.resolve();
  let failures = 0;

  /** Statements are told one by one; all customizations of one wait for the same rows. */
  async function rowsAreTold(statement: string, table: string): Promise<boolean> {
    let wait = waiting.get(statement);
    if (!wait) waiting.set(statement, (wait = { sinceMs: nowMs(), mark: null }));
    const age = nowMs() - wait.sinceMs;
    if (age >= barrierLimitMs) {
      logger.warn({ table, waitedMs: age }, 'rows from before a change of structure are not read yet: it is told before them');
      return true;
    }
    if (age < settleMs) return false;
    wait.mark ??= await barrier.mark(table);
    return await barrier.passed(wait.mark);
  }

  async function look(): Promise<void> {
    const changes = await deps.untold(batch);
    const blocked = new Set<string>();
    let refused: unknown = null;
    for (const untold of changes) {
      const { tenantId, change } = untold;
      if (stopped) return;
      if (blocked.has(change.table)) continue;
      if (!(await rowsAreTold(change.changeId, change.table))) {
        // Later statements of the table wait behind it.
        blocked.add(change.table);
        continue;
      }
      try {
        await deps.signal(untold);
        await deps.markTold(untold);
      } catch (error) {
        // One tenant that cannot be told must not keep the others from it.
        refused = error;
        continue;
      }
      logger.info({ tenantId, customizationId: change.customizationId, kind: change.kind, effect: change.effect }, change.reason);
    }
    const alive = new Set(changes.map(({ change }) => change.changeId));
    for (const statement of waiting.keys()) if (!alive.has(statement)) waiting.delete(statement);
    if (refused !== null) throw refused;
  }

  const schedule = (): void => {
    if (stopped) return;
    timer = setTimeout(() => {
      turn = look().then(
        () => void (failures = 0),
        (error: unknown) => {
          failures += 1;
          logger.warn({ err: error }, 'changes of structure could not be told: trying again');
        },
      );
      void turn.then(schedule);
    }, lookIntervalMs);
  };

  return {
    start: schedule,
    /** For readiness: how often in a row an engine refused. */
    failures: () => failures,
    async stop(): Promise<void> {
      stopped = true;
      if (timer) clearTimeout(timer);
      await turn;
    },
  };
}
