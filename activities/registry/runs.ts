import type { CustomizationKey, RunKey } from '../../core/ids.ts';
import { type RunOutcome, type RunState, type RunTrigger, type StageTimes, endedRunStates, runStates } from '../../core/run.ts';
import { nowMs } from '../../platform/clock.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { failure } from '../failure.ts';
import type { RunRecord } from '../ports.ts';
import { inTransaction, withDatabase } from './database.ts';

type NumberRow = RowDataPacket & { number: number };
/** An aggregate is a BIGINT, and that is a string. */
type LastRow = RowDataPacket & { number: string };
type StagesRow = RowDataPacket & { state: RunState; stages: StageTimes[] };
type EndRow = RowDataPacket & {
  state: RunState;
  reason: string | null;
  failure_class: RunOutcome['failureClass'];
  version: number | null;
  training_ms: string | null;
  gpu_seconds: number | null;
  dataset_number: number | null;
  digest: string | null;
  row_count: string | null;
  cut: string | null;
};

const oneRun = 'tenant_id = ? AND customization_id = ? AND number = ?';
/** The progress of an attempt that is over, without the job that is gone. */
const withoutJob = "JSON_REMOVE(progress, '$.job')";
const keyOf = ({ tenantId, customizationId, run }: RunKey): [string, string, number] => [tenantId, customizationId, run];

/** The next run number. Key: requestKey. Numbers are given out one at a time, under a lock on the customization's row. */
export const openRun = (
  pool: Pool,
  input: CustomizationKey & { readonly requestKey: string; readonly trigger: RunTrigger; readonly reason: string | null },
): Promise<{ run: number }> =>
  inTransaction(pool, async (connection) => {
    const { tenantId, customizationId, requestKey, trigger, reason } = input;
    const key = [tenantId, customizationId];
    const [found] = await connection.query<RowDataPacket[]>(
      'SELECT 1 FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ? FOR UPDATE',
      key,
    );
    if (found.length === 0) throw failure('CustomizationGone', `customization ${customizationId} of tenant ${tenantId} was deleted`);
    const [opened] = await connection.query<NumberRow[]>(
      'SELECT number FROM modelwright_control.runs WHERE tenant_id = ? AND customization_id = ? AND request_key = ?',
      [...key, requestKey],
    );
    if (opened[0]) return { run: opened[0].number };
    const [last] = await connection.query<LastRow[]>(
      'SELECT COALESCE(MAX(number), 0) AS number FROM modelwright_control.runs WHERE tenant_id = ? AND customization_id = ?',
      key,
    );
    const run = Number(last[0]?.number ?? 0) + 1;
    await connection.query(
      `INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind, reason)
       VALUES (?, ?, ?, ?, 'queued', ?, ?)`,
      [...key, run, requestKey, trigger, reason],
    );
    return { run };
  });

/** State and stage times of a run. Key: run + state + stage. States only move forward, and an ended run stays as it ended. */
export const recordRun = (pool: Pool, input: RunKey & RunRecord): Promise<void> =>
  inTransaction(pool, async (connection) => {
    const [rows] = await connection.query<StagesRow[]>(
      `SELECT state, stages FROM modelwright_control.runs WHERE ${oneRun} FOR UPDATE`,
      keyOf(input),
    );
    const row = rows[0];
    if (!row) throw failure('CustomizationGone', `run ${input.run} of ${input.customizationId} has no row`);
    if (endedRunStates.includes(row.state) || runStates.indexOf(input.state) < runStates.indexOf(row.state)) return;
    const now = nowMs();
    const ended = endedRunStates.includes(input.state);
    const stages = withStage(row.stages, input, now).map((stage) =>
      ended && stage.endedAtMs === undefined ? { ...stage, endedAtMs: now } : stage,
    );
    const columns: Record<string, unknown> = {
      state: input.state,
      stages: JSON.stringify(stages),
      ...(input.reason === undefined || input.reason === null ? {} : { reason: input.reason }),
      ...(input.failureClass === undefined ? {} : { failure_class: input.failureClass }),
      ...(input.datasetNumber === undefined ? {} : { dataset_number: input.datasetNumber }),
      ...(input.version === undefined ? {} : { version: input.version }),
      ...(input.metrics === undefined ? {} : { metrics: JSON.stringify(input.metrics) }),
      ...(input.verdict === undefined ? {} : { verdict: JSON.stringify(input.verdict) }),
      ...(input.trainingMs === undefined ? {} : { training_ms: Math.round(input.trainingMs) }),
      ...(input.gpuSeconds === undefined ? {} : { gpu_seconds: input.gpuSeconds }),
      ...(input.paused === undefined ? {} : { paused: input.paused === null ? null : JSON.stringify(input.paused) }),
      ...(ended ? { ended_at: new Date(now), paused: null } : {}),
    };
    // The job that the progress shows is gone, and its GPU seconds are told. Of a run that has ended, people may want to see what became of it.
    const without = ended || (input.gpuSeconds === undefined && !input.paused) ? '' : `progress = ${withoutJob},`;
    await connection.query(`UPDATE modelwright_control.runs SET ?, ${without} started_at = COALESCE(started_at, ?) WHERE ${oneRun}`, [
      columns,
      new Date(now),
      ...keyOf(input),
    ]);
  });

function withStage(stages: readonly StageTimes[], { stage, stageEnded }: RunRecord, now: number): readonly StageTimes[] {
  if (!stage) return stages;
  const known = stages.find(({ name }) => name === stage);
  if (!known) return [...stages, { name: stage, startedAtMs: now, ...(stageEnded ? { endedAtMs: now } : {}) }];
  if (!stageEnded || known.endedAtMs !== undefined) return stages;
  return stages.map((other) => (other.name === stage ? { ...other, endedAtMs: now } : other));
}

/** Makes `attempt` the run's fencing token unless a higher one is, and notes what those before it have used. Key: run + attempt. */
export const raiseAttempt = (pool: Pool, input: RunKey & { readonly attempt: number; readonly gpuSeconds?: number }): Promise<void> =>
  withDatabase(async () => {
    await pool.query(
      `UPDATE modelwright_control.runs SET gpu_seconds = IF(attempt < ?, COALESCE(?, gpu_seconds), gpu_seconds), progress = ${withoutJob},
         attempt = GREATEST(attempt, ?) WHERE ${oneRun}`,
      [input.attempt, input.gpuSeconds ?? null, input.attempt, ...keyOf(input)],
    );
  });

/** How a run ended; null while it has not, and where there is none. */
export const loadRun = (pool: Pool, key: RunKey): Promise<RunOutcome | null> =>
  withDatabase(async () => {
    // Through the dataset's run, not the run's dataset: a run that was stopped may not have noted what it built.
    const [rows] = await pool.query<EndRow[]>(
      `SELECT r.state, r.reason, r.failure_class, r.version, r.training_ms, r.gpu_seconds, d.number AS dataset_number, d.digest, d.row_count, d.cut
       FROM modelwright_control.runs r
       LEFT JOIN modelwright_control.datasets d
         ON d.tenant_id = r.tenant_id AND d.customization_id = r.customization_id AND d.run_number = r.number
       WHERE r.tenant_id = ? AND r.customization_id = ? AND r.number = ?`,
      keyOf(key),
    );
    const row = rows[0];
    if (!row || !isEnded(row.state)) return null;
    const { dataset_number: number, digest, row_count, cut } = row;
    return {
      customizationId: key.customizationId,
      run: key.run,
      state: row.state,
      reason: row.reason,
      failureClass: row.failure_class,
      dataset: number !== null && digest !== null && cut !== null ? { number, digest, rows: Number(row_count), cut } : null,
      version: row.version,
      trainingMs: Number(row.training_ms ?? 0),
      ...(row.gpu_seconds === null ? {} : { gpuSeconds: row.gpu_seconds }),
    };
  });

const isEnded = (state: RunState): state is RunOutcome['state'] => endedRunStates.includes(state);
