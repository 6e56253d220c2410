import { gtidSetContains, parseGtid } from '../core/gtid.ts';
import type { GateVerdict, TrainingMetrics } from '../core/model.ts';
import { type RunState, type StageTimes, endedRunStates } from '../core/run.ts';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';
import { Problem } from './problems.ts';

export const stationNames = ['committed', 'sensed', 'due', 'dataset', 'training', 'gate', 'published', 'serving'] as const;
export type StationName = (typeof stationNames)[number];

export type Receipt = {
  readonly commit: string;
  readonly committedAt: string | null;
  readonly tables: readonly string[];
  readonly customizations: readonly string[];
  readonly stations: readonly { readonly name: StationName; readonly at: string | null; readonly detail: string | null }[];
  readonly version: number | null;
  readonly run: number | null;
  /** Why no version will learn the commit, or why its run ended without one; null while it is on its way and when it serves. */
  readonly reason: string | null;
};

type CommitRow = RowDataPacket & { gtid: string; tenant_id: string; customization_id: string; committed_at: Date };
type SensedRow = CommitRow & { sensed_at: Date; inserted: string; updated: string; deleted: string; configured: number };
type DatasetRow = RowDataPacket & { number: number; run_number: number; cut: string; built_at: Date; row_count: string };
type DecisionRow = RowDataPacket & { reason: string; cut: string; decided_at: Date };
type RunRow = RowDataPacket & {
  number: number;
  state: RunState;
  trigger_kind: string;
  reason: string | null;
  stages: StageTimes[];
  metrics: TrainingMetrics | null;
  verdict: GateVerdict | null;
  progress: { step: number; steps: number } | null;
  training_ms: string | null;
  created_at: Date;
};
type VersionRow = RowDataPacket & {
  version: number;
  run_number: number;
  dataset_number: number;
  published_at: Date;
  stored_bytes: string;
  promoted_at: Date | null;
};

const epochOf = ({ gtid }: CommitRow): number => parseGtid(gtid)?.epoch ?? 0;

/** The latest of everything is what a receipt asks about; a commit that is older than this many datasets is in all of them. */
const lookedAt = 200;

/** What became of a commit, as the tables tell it. `tenantId` null: the operator, who sees every tenant's. */
export async function receiptOf(pool: Pool, gtid: string, tenantId: string | null): Promise<Receipt> {
  const scope = tenantId === null ? '' : ' AND tenant_id = ?';
  // After a reset of the log a GTID may name two commits: the newest is meant.
  const named = `(gtid = ? OR gtid LIKE ?)`;
  const values = [gtid, `${gtid}@%`, ...(tenantId === null ? [] : [tenantId])];
  const [[allOwn], [allSensed]] = await Promise.all([
    pool.query<CommitRow[]>(`SELECT * FROM modelwright_control.commits WHERE ${named}${scope}`, values),
    pool.query<SensedRow[]>(`SELECT * FROM modelwright_control.sensed_commits WHERE ${named}${scope}`, values),
  ]);
  const newest = Math.max(0, ...[...allOwn, ...allSensed].map((row) => epochOf(row)));
  const own = allOwn.filter((row) => epochOf(row) === newest);
  const sensed = allSensed.filter((row) => epochOf(row) === newest);
  const first = sensed[0] ?? own[0];
  if (!first) throw new Problem('not_found', `no commit ${gtid} is known; one made by another program is known when it was sensed`);
  const key = [first.tenant_id, first.customization_id];
  const where = 'tenant_id = ? AND customization_id = ?';
  const [[datasets], [decisions], [runs], [versions]] = await Promise.all([
    pool.query<DatasetRow[]>(
      `SELECT number, run_number, cut, built_at, row_count FROM modelwright_control.datasets WHERE ${where} ORDER BY number DESC LIMIT ${lookedAt}`,
      key,
    ),
    pool.query<DecisionRow[]>(
      `SELECT reason, cut, decided_at FROM modelwright_control.decisions WHERE ${where} ORDER BY decided_at DESC LIMIT ${lookedAt}`,
      key,
    ),
    pool.query<RunRow[]>(
      `SELECT number, state, trigger_kind, reason, stages, metrics, verdict, progress, training_ms, created_at
       FROM modelwright_control.runs WHERE ${where} ORDER BY number DESC LIMIT ${lookedAt}`,
      key,
    ),
    pool.query<VersionRow[]>(
      `SELECT v.version, v.run_number, v.dataset_number, v.published_at, v.stored_bytes,
         (SELECT MIN(p.promoted_at) FROM modelwright_control.promotions p
          WHERE p.tenant_id = v.tenant_id AND p.customization_id = v.customization_id AND p.version = v.version) AS promoted_at
       FROM modelwright_control.model_versions v WHERE ${where.replaceAll(/(tenant_id|customization_id)/g, 'v.$1')} ORDER BY version`,
      key,
    ),
  ]);
  const containing = datasets.filter(({ cut }) => gtidSetContains(cut, first.gtid)).sort((a, b) => a.number - b.number);
  const [dataset] = containing;
  const served = dataset && versions.find((version) => version.dataset_number >= dataset.number && version.promoted_at !== null);
  const runNumber = served?.run_number ?? containing.at(-1)?.run_number ?? null;
  const run = runs.find(({ number }) => number === runNumber) ?? null;
  const published = versions.find(({ run_number }) => run_number === runNumber) ?? null;
  const decision = dataset ? null : (decisions.filter(({ cut }) => gtidSetContains(cut, first.gtid)).at(-1) ?? null);
  const seen = sensed.find(({ customization_id }) => customization_id === first.customization_id);
  const stage = (name: string): Date | null => {
    const ended = run?.stages.find((one) => one.name === name)?.endedAtMs;
    return ended === undefined ? null : new Date(ended);
  };
  const station = (name: StationName, at: Date | null, detail: string | null) => ({ name, at: at?.toISOString() ?? null, detail });
  const committedAt = own[0]?.committed_at ?? first.committed_at;
  const trained = stage('train');
  const builtBy = containing.find(({ run_number }) => run_number === runNumber) ?? dataset;
  return {
    commit: gtid,
    committedAt: committedAt.toISOString(),
    tables: ['modelwright.examples'],
    customizations: [...new Set([...own, ...sensed].map((row) => row.customization_id))],
    stations: [
      station('committed', committedAt, gtid),
      station('sensed', seen?.sensed_at ?? null, seen ? changes(seen) : null),
      station(
        'due',
        run?.created_at ?? decision?.decided_at ?? null,
        run ? `run ${run.number} (${run.trigger_kind})` : (decision?.reason ?? null),
      ),
      station(
        'dataset',
        builtBy?.built_at ?? null,
        builtBy ? `dataset ${builtBy.number}: ${Number(builtBy.row_count).toLocaleString('en-US')} rows` : null,
      ),
      station('training', trained, run ? training(run, trained !== null) : null),
      station('gate', stage('gate'), run?.verdict ? `${run.verdict.verdict}: ${run.verdict.explanation}` : null),
      station(
        'published',
        published?.published_at ?? null,
        published ? `v${published.version}, ${Number(published.stored_bytes).toLocaleString('en-US')} new bytes` : null,
      ),
      station('serving', served?.promoted_at ?? null, served ? `v${served.version} answers` : null),
    ],
    version: served?.version ?? published?.version ?? null,
    run: runNumber,
    reason: served
      ? null
      : run
        ? endedRunStates.includes(run.state)
          ? `run ${run.number} ${run.state}: ${run.reason ?? 'no reason was recorded'}`
          : null
        : (decision?.reason ?? null),
  };
}

/** Whether nothing more will happen by itself. */
export const isEnded = ({ reason, stations }: Receipt): boolean => reason !== null || stations.at(-1)?.at !== null;

function changes({ inserted, updated, deleted, configured }: SensedRow): string {
  const parts = [
    [Number(inserted), 'inserted'],
    [Number(updated), 'updated'],
    [Number(deleted), 'deleted'],
  ] as const;
  const named = parts.filter(([n]) => n > 0).map(([n, what]) => `${n.toLocaleString('en-US')} ${what}`);
  return [...named, ...(configured ? ['settings changed'] : [])].join(', ') || 'no change of a row';
}

function training({ metrics, progress, training_ms }: RunRow, ended: boolean): string | null {
  if (ended && metrics) return `accuracy ${(metrics.accuracy * 100).toFixed(1)} % in ${(Number(training_ms ?? 0) / 1_000).toFixed(1)} s`;
  return progress ? `step ${progress.step} of ${progress.steps}` : null;
}
