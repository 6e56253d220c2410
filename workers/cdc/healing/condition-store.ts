import { currentEpoch } from '../../../platform/log-epoch.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../../platform/mysql.ts';
import type { Condition } from './condition-book.ts';
import { conditionCodes, conditionRules } from './conditions.ts';
import type { SourceMark } from './facts.ts';

type ConditionRow = RowDataPacket & {
  condition_id: string;
  code: string;
  subject: string;
  detail: string;
  state: 'open' | 'healing';
  action: string | null;
  detected_at: Date;
};
type MarkRow = RowDataPacket & { subject: string; mark: unknown };

export type Marks = {
  readonly source: SourceMark | null;
  readonly consumed: readonly string[];
  readonly positioned: readonly string[];
  readonly begun: ReadonlyMap<string, number>;
};

const lockName = 'modelwright.healing';
const topicMark = 'topic/';
const connectorMark = 'connector/';

/** What the watch keeps in the control database. */
export function conditionStore(pool: Pool) {
  return {
    /** Conditions that an earlier watch left open. */
    async load(): Promise<Condition[]> {
      const [rows] = await pool.query<ConditionRow[]>(
        "SELECT condition_id, code, subject, detail, state, action, detected_at FROM modelwright_control.sensing_conditions WHERE state <> 'healed'",
      );
      return rows.flatMap((row) => {
        const code = conditionCodes.find((one) => one === row.code);
        if (!code) return [];
        const { subject, detail, state, action } = row;
        return [{ id: row.condition_id, code, subject, detail, state, action, detectedAtMs: row.detected_at.getTime() }];
      });
    },
    async open({ code, subject, detail, detectedAtMs }: Condition): Promise<string> {
      const [made] = await pool.query(
        // One that another watch has opened at the same time is this one.
        `INSERT INTO modelwright_control.sensing_conditions (code, subject, detail, remedy, state, detected_at) VALUES (?, ?, ?, ?, 'open', ?) AS own
         ON DUPLICATE KEY UPDATE condition_id = LAST_INSERT_ID(sensing_conditions.condition_id), detail = own.detail`,
        [code, subject, detail, conditionRules[code].remedy, new Date(detectedAtMs)],
      );
      return String((made as { insertId: number }).insertId);
    },
    async healing(id: string, action: string): Promise<void> {
      await pool.query("UPDATE modelwright_control.sensing_conditions SET state = 'healing', action = ? WHERE condition_id = ?", [
        action,
        id,
      ]);
    },
    async end(id: string, action: string, endedAtMs: number): Promise<void> {
      await pool.query(
        "UPDATE modelwright_control.sensing_conditions SET state = 'healed', action = ?, ended_at = ? WHERE condition_id = ?",
        [action, new Date(endedAtMs), id],
      );
    },
    async loadMarks(): Promise<Marks> {
      const [rows] = await pool.query<MarkRow[]>('SELECT subject, mark FROM modelwright_control.sensing_marks');
      const named = (prefix: string): string[] =>
        rows.filter(({ subject }) => subject.startsWith(prefix)).map(({ subject }) => subject.slice(prefix.length));
      const source = rows.find(({ subject }) => subject === 'source');
      return {
        source: source ? (source.mark as SourceMark) : null,
        consumed: named(topicMark),
        positioned: named(connectorMark),
        begun: new Map(rows.flatMap(({ subject, mark }) => beginningIn(subject, mark))),
      };
    },
    markSource: (mark: SourceMark): Promise<void> => putMark(pool, 'source', mark),
    markConsumed: (topic: string): Promise<void> => putMark(pool, `${topicMark}${topic}`, {}),
    /** A connector has a position, and the topic of its schema changes ended at `begunAt` when it had begun; null: that is not known. */
    markPositioned: (connector: string, begunAt: number | null): Promise<void> =>
      putMark(pool, `${connectorMark}${connector}`, begunAt === null ? {} : { begunAt }),
    /** Its beginning is not the present one any more. */
    forgetBeginning: (connector: string): Promise<void> => forgetBeginning(pool, connector),
    /** The epoch that begins with this condition. Key: the condition. */
    async raiseEpoch(conditionId: string): Promise<number> {
      await pool.query(
        `INSERT IGNORE INTO modelwright_control.log_epochs (epoch, condition_id)
         SELECT COALESCE(MAX(epoch), 0) + 1, ? FROM modelwright_control.log_epochs`,
        [conditionId],
      );
      const [rows] = await pool.query<(RowDataPacket & { epoch: number })[]>(
        'SELECT epoch FROM modelwright_control.log_epochs WHERE condition_id = ?',
        [conditionId],
      );
      if (!rows[0]) throw new Error('the epoch of the log could not be raised: two watches at once?');
      return rows[0].epoch;
    },
    epoch: () => currentEpoch(pool),
    async told(conditionId: string): Promise<Set<string>> {
      const [rows] = await pool.query<(RowDataPacket & { tenant_id: string })[]>(
        'SELECT tenant_id FROM modelwright_control.sensing_reconciliations WHERE condition_id = ?',
        [conditionId],
      );
      return new Set(rows.map(({ tenant_id }) => tenant_id));
    },
    async forgetTold(conditionId: string): Promise<void> {
      await pool.query('DELETE FROM modelwright_control.sensing_reconciliations WHERE condition_id = ?', [conditionId]);
    },
    async markTold(conditionId: string, tenantId: string): Promise<void> {
      await pool.query('INSERT IGNORE INTO modelwright_control.sensing_reconciliations (condition_id, tenant_id) VALUES (?, ?)', [
        conditionId,
        tenantId,
      ]);
    },
  };
}
export type ConditionStore = ReturnType<typeof conditionStore>;

function beginningIn(subject: string, mark: unknown): [string, number][] {
  const begunAt = subject.startsWith(connectorMark) ? (mark as { begunAt?: unknown }).begunAt : undefined;
  return typeof begunAt === 'number' ? [[subject.slice(connectorMark.length), begunAt]] : [];
}

/** For whoever lets a connector begin anew: what it tells of the structures that it finds then is no news. */
export async function forgetBeginning(pool: Pool, connector: string): Promise<void> {
  await pool.query("UPDATE modelwright_control.sensing_marks SET mark = '{}' WHERE subject = ?", [`${connectorMark}${connector}`]);
}

async function putMark(pool: Pool, subject: string, mark: unknown): Promise<void> {
  await pool.query(
    'INSERT INTO modelwright_control.sensing_marks (subject, mark) VALUES (?, ?) AS now ON DUPLICATE KEY UPDATE mark = now.mark',
    [subject, JSON.stringify(mark)],
  );
}

/** Several change consumers share the partitions; one of them watches. The lock goes with its connection. */
export function watchLock(pool: Pool) {
  let held: PoolConnection | null = null;
  return {
    /** Throws while MySQL does not answer: then whoever watched goes on watching. */
    async take(): Promise<boolean> {
      const connection = held ?? (await pool.getConnection());
      try {
        const [rows] = await connection.query<(RowDataPacket & { mine: string | number | null })[]>(
          held ? 'SELECT IS_USED_LOCK(?) = CONNECTION_ID() AS mine' : 'SELECT GET_LOCK(?, 0) AS mine',
          [lockName],
        );
        const mine = Number(rows[0]?.mine ?? 0) === 1;
        if (mine) held = connection;
        else {
          held = null;
          connection.release();
        }
        return mine;
      } catch (error) {
        held = null;
        connection.destroy();
        throw error;
      }
    },
    release(): void {
      held?.destroy();
      held = null;
    },
  };
}
