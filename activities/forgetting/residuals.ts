import type { Residual } from '../../core/forgetting.ts';
import type { SourceMapping } from '../../core/source-mapping.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';

/** What only the engines themselves can say of how long they keep things. */
export type KeptElsewhere = {
  /** Topics that carry changes of rows, of our own table (null) or of a mapped one, and how long each keeps them; null: for ever. */
  readonly topics: (
    source: Pick<SourceMapping, 'database' | 'table'> | null,
  ) => Promise<readonly { readonly name: string; readonly retentionMs: number | null }[]>;
  /** Of ended workflows. */
  readonly workflowRetentionMs: () => Promise<number>;
  /** Of the operator's backups; null: nobody has said. */
  readonly backupDays: number | null;
};

const dayMs = 86_400_000;
/** Predictors look for forgotten objects this often, and hold on to one for as long as a request may take (predictor/forgotten-cache.ts). */
const predictorMs = 2 * 60_000;

/** Where the rows, or what they left, may be longer than in the store, and until when: by the settings of the engines as they are now. */
export async function residualsOf(
  pool: Pool,
  kept: KeptElsewhere,
  source: SourceMapping | null,
  { deletedAtMs, removedAtMs }: { readonly deletedAtMs: number; readonly removedAtMs: number },
): Promise<Residual[]> {
  const [settings] = await pool.query<(RowDataPacket & { seconds: string | number })[]>('SELECT @@binlog_expire_logs_seconds AS seconds');
  const binlogMs = Number(settings[0]?.seconds ?? 0) * 1_000;
  const after = (ms: number, from = removedAtMs): string => new Date(from + ms).toISOString();
  const topics = await kept.topics(source);
  return [
    {
      where: 'MySQL binary log',
      what: 'the rows as they were written, changed and deleted',
      until: binlogMs === 0 ? null : after(binlogMs, deletedAtMs),
      note:
        binlogMs === 0
          ? 'binlog_expire_logs_seconds is 0: until somebody purges it'
          : `binlog_expire_logs_seconds is ${binlogMs / 1_000}; a file goes when MySQL begins its next one, or restarts, after that`,
    },
    {
      where: 'MySQL data files',
      what: 'bytes of deleted rows in free space of pages, undo and redo logs',
      until: null,
      note: 'until they are written over; OPTIMIZE TABLE writes a table anew',
    },
    ...topics.map(({ name, retentionMs }) => ({
      where: `Kafka topic ${name}`,
      what: 'ids of the rows, no contents',
      until: retentionMs === null ? null : after(retentionMs, deletedAtMs),
      note:
        retentionMs === null
          ? 'retention.ms is -1: kept for ever'
          : `retention.ms is ${retentionMs}; the segment that is written last goes later`,
    })),
    {
      where: 'Temporal',
      what: 'ids that failures name in histories of ended workflows, no contents',
      until: after(await kept.workflowRetentionMs()),
      note: 'retention of the namespace; of a tenant workflow, which does not end, each part when the next one began',
    },
    {
      where: 'predictor caches',
      what: 'files of withdrawn versions',
      until: after(predictorMs),
      note: 'a predictor that is stopped drops them when it starts',
    },
    {
      where: 'backups',
      what: 'whatever the operator copied of MySQL, of the store and of volumes',
      until: kept.backupDays === null ? null : after(kept.backupDays * dayMs),
      note:
        kept.backupDays === null
          ? 'MW_BACKUP_DAYS is not set: ask the operator'
          : `MW_BACKUP_DAYS is ${kept.backupDays}: as long as the operator says that backups are kept`,
    },
  ];
}
