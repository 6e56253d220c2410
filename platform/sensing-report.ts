import { countGtids, parseGtidSet, subtractGtids } from '../core/gtid-set.ts';
import { type Connector, createConnectClient } from './kafka-connect.ts';
import { currentEpoch } from './log-epoch.ts';
import type { Pool, RowDataPacket } from './mysql.ts';

/** Ended conditions that are still shown. */
const recentRows = 20;

export type SensingCondition = {
  readonly code: string;
  /** Connector, topic or engine. */
  readonly subject: string;
  readonly detail: string;
  readonly remedy: string;
  readonly state: 'open' | 'healing' | 'healed';
  /** What was done about it. */
  readonly action: string | null;
  readonly detectedAt: string;
  readonly endedAt: string | null;
};

export type SensingReport = {
  /** Open ones first, then those that ended, newest first. */
  readonly conditions: readonly SensingCondition[];
  /** Null where Kafka Connect does not answer. */
  readonly connectors:
    | readonly {
        readonly name: string;
        readonly state: string;
        readonly detail: string | null;
        readonly position: { readonly file: string; readonly pos: number; readonly gtids: string } | null;
        /** Transactions of the source that it has not read; the one that it read last may count. */
        readonly behind: number | null;
      }[]
    | null;
  readonly watermarks: {
    /** GTID set of the source. */
    readonly executed: string;
    /** How often the log was reset. */
    readonly epoch: number;
  };
};

type ConditionRow = RowDataPacket & {
  code: string;
  subject: string;
  detail: string;
  remedy: string;
  state: SensingCondition['state'];
  action: string | null;
  detected_at: Date;
  ended_at: Date | null;
};
type SourceRow = RowDataPacket & { executed: string };

/** What the watch of the change consumer has found, and where connectors and source stand now. */
export async function sensingReport(pool: Pool, connectUrl: string): Promise<SensingReport> {
  const connectors = await createConnectClient(connectUrl)
    .connectors()
    .catch(() => null);
  const [[conditions], [sources], epoch] = await Promise.all([
    pool.query<ConditionRow[]>(
      `SELECT code, subject, detail, remedy, state, action, detected_at, ended_at FROM modelwright_control.sensing_conditions
       ORDER BY state = 'healed', condition_id DESC LIMIT ${recentRows}`,
    ),
    pool.query<SourceRow[]>('SELECT @@global.gtid_executed AS executed'),
    currentEpoch(pool),
  ]);
  const executed = (sources[0]?.executed ?? '').replaceAll(/\s/g, '');
  return {
    conditions: conditions.map(({ code, subject, detail, remedy, state, action, detected_at, ended_at }) => ({
      code,
      subject,
      detail,
      remedy,
      state,
      action,
      detectedAt: detected_at.toISOString(),
      endedAt: ended_at?.toISOString() ?? null,
    })),
    connectors: connectors?.map((connector) => shown(connector, executed)) ?? null,
    watermarks: { executed, epoch },
  };
}

function shown({ name, state, tasks, failures, position }: Connector, executed: string) {
  const failed = failures.length > 0;
  return {
    name,
    state: failed ? 'FAILED' : state === 'RUNNING' ? (tasks[0]?.state ?? 'UNASSIGNED') : state,
    detail: failures[0] ?? null,
    position: position && { file: position.file, pos: position.pos, gtids: position.gtids },
    behind: position && countGtids(subtractGtids(parseGtidSet(executed), parseGtidSet(position.gtids))),
  };
}
