import { noBuckets } from '../core/dirty-buckets.ts';
import { gtidSetContains } from '../core/gtid.ts';
import type { CustomizationKey } from '../core/ids.ts';
import { primaryText } from '../core/metrics.ts';
import { firstHolding } from '../core/learned.ts';
import { endedRunStates } from '../core/run.ts';
import type { CustomizationStatus } from '../core/tenant-messages.ts';
import { optionsDigest } from '../platform/hash.ts';
import { type CommitRow, type CustomizationRows, type RunRow, type SensedRow, lookedAt } from './receipt-rows.ts';

export const stationNames = ['committed', 'sensed', 'due', 'dataset', 'training', 'gate', 'published', 'serving'] as const;
export type StationName = (typeof stationNames)[number];
export type Station = { readonly name: StationName; readonly at: string | null; readonly detail: string | null };

/** What became of a commit in one customization. */
export type ReceiptPart = {
  readonly tenantId: string;
  readonly customizationId: string;
  readonly tables: readonly string[];
  readonly stations: readonly Station[];
  readonly version: number | null;
  readonly run: number | null;
  /** Why no version will learn the commit by itself, or why its run ended without one; null while it is on its way and when it serves. */
  readonly reason: string | null;
};

export type PartInput = {
  readonly gtid: string;
  readonly key: CustomizationKey;
  readonly own: CommitRow | null;
  readonly seen: SensedRow | null;
  readonly rows: CustomizationRows;
  /** As the tenant's workflow says; null where it was not asked or does not answer. */
  readonly status: CustomizationStatus | null;
  /** Why the commit may not have been sensed yet. */
  readonly unsensed: string | null;
  readonly nowMs: number;
};

/** The workflow hears of a commit after it was noted as sensed, at most one signal a second: before that it speaks of older changes. */
const heardMs = 5_000;

const number = (n: string | number): string => Number(n).toLocaleString('en-US');

/** One customization's part of a receipt, from the tables alone and from what its workflow says. Pure. */
export function receiptPart({ gtid, key, own, seen, rows, status: asked, unsensed, nowMs }: PartInput): ReceiptPart {
  const { customization, datasets, versions, runs, production } = rows;
  const status = seen && asked?.loaded && nowMs - seen.sensed_at.getTime() > heardMs ? asked : null;
  const committedAt = own?.committed_at ?? seen?.committed_at ?? null;
  // Rows that were noted before buckets were: the cut is all that is known, and was all that was asked.
  const buckets = seen ? (seen.buckets ?? noBuckets) : null;
  const known = datasets.map((dataset) => ({ ...dataset, readBuckets: dataset.read_buckets }));
  const [oldest] = known;
  const ancient = known.length === lookedAt && oldest && gtidSetContains(oldest.cut, gtid) ? oldest : null;
  const dataset = ancient ?? firstHolding(known, gtid, buckets);
  const digestOf = new Map(known.map((one) => [one.number, one.digest]));
  const holds = (datasetNumber: number): boolean =>
    dataset !== null && (datasetNumber >= dataset.number || digestOf.get(datasetNumber) === dataset.digest);
  const served = versions.find((version) => holds(version.dataset_number) && version.promoted_at !== null) ?? null;
  const latest = dataset ? (known.at(-1) ?? dataset) : null;
  const waiting = runs.findLast(
    (one) => seen !== null && one.created_at >= seen.sensed_at && !known.some((d) => d.run_number === one.number),
  );
  const run = runs.find((one) => one.number === (served?.run_number ?? latest?.run_number)) ?? (dataset ? null : (waiting ?? null));
  const published = versions.find((version) => version.run_number === run?.number) ?? null;
  const decision = dataset ? null : decisionOn(gtid, seen, rows, status);
  const builtBy = known.find((one) => one.run_number === run?.number && holds(one.number)) ?? dataset;
  const ended = (name: string): Date | null => {
    const at = run?.stages.find((stage) => stage.name === name)?.endedAtMs;
    return at === undefined ? null : new Date(at);
  };
  const station = (name: StationName, at: Date | null, detail: string | null): Station => ({ name, at: at?.toISOString() ?? null, detail });
  const trained = ended('train');
  const dueAt = run?.created_at ?? decision?.decided_at ?? null;
  const reason = served ? null : whyNot({ seen, rows, status, run, decision: decision?.reason ?? null, inDataset: dataset !== null });
  return {
    ...key,
    tables: tablesOf(seen, customization),
    stations: [
      station('committed', committedAt, gtid),
      station(
        'sensed',
        seen?.sensed_at ?? null,
        seen ? changes(seen) : dataset ? 'not sensed: found by a comparison of the table' : unsensed,
      ),
      station('due', dueAt, run ? `run ${run.number} (${run.trigger_kind})` : (decision?.reason ?? null)),
      station('dataset', builtBy?.built_at ?? null, builtBy ? `dataset ${builtBy.number}: ${number(builtBy.row_count)} rows` : null),
      station('training', trained, run ? training(run, trained !== null) : null),
      station('gate', ended('gate'), run?.verdict ? `${run.verdict.verdict}: ${run.verdict.explanation}` : null),
      station(
        'published',
        published?.published_at ?? null,
        published ? `v${published.version}, ${number(published.stored_bytes)} new bytes` : null,
      ),
      station('serving', served?.promoted_at ?? null, served ? serving(served, production, rows, holds) : null),
    ],
    version: served?.version ?? published?.version ?? null,
    run: run?.number ?? null,
    reason,
  };
}

/** What was decided about the commit instead of a run: that it changed nothing, or why it waits. */
function decisionOn(gtid: string, seen: SensedRow | null, { decisions }: CustomizationRows, status: CustomizationStatus | null) {
  if (!seen) return null;
  const made = decisions.filter(({ cut, decided_at }) => gtidSetContains(cut, gtid) && decided_at >= seen.sensed_at);
  const equal = made.find(({ kind }) => kind === 'no_net_change');
  // Changes that came while the table was compared wait for the next comparison, although its cut contains them.
  const since = status?.pending.sinceMs ?? null;
  if (equal && (since === null || since > equal.decided_at.getTime())) return equal;
  return made.findLast(({ kind }) => kind !== 'no_net_change') ?? null;
}

function whyNot(input: {
  readonly seen: SensedRow | null;
  readonly rows: CustomizationRows;
  readonly status: CustomizationStatus | null;
  readonly run: RunRow | null;
  readonly decision: string | null;
  readonly inDataset: boolean;
}): string | null {
  const { seen, rows, status, run, decision, inDataset } = input;
  const { customization, schemaHeld, trainedOptions } = rows;
  if (!customization && (!run || endedRunStates.includes(run.state)))
    return `the customization was deleted${run ? `, after run ${run.number} had ended (${run.state})` : ''}: nothing will learn it`;
  if (run) {
    if (!endedRunStates.includes(run.state)) return null;
    // The store or a network was away: the platform tries again by itself.
    if (run.state === 'failed' && run.failure_class === 'storage') return null;
    if (inDataset || run.state !== 'succeeded') return `run ${run.number} ${run.state}: ${run.reason ?? 'no reason was recorded'}`;
  }
  if (schemaHeld !== null) return `training is held by a change of the table's structure: ${schemaHeld}`;
  if (decision !== null) return decision;
  if (!seen) return null;
  const changed = Number(seen.inserted) + Number(seen.updated) + Number(seen.deleted);
  if (changed === 0) {
    if (seen.configured === 0) return 'it changed no row';
    return customization && trainedOptions !== null && trainedOptions === optionsDigest(customization.options)
      ? 'it changed settings only, and the options are those that the last training had: no run follows'
      : null;
  }
  // Paused, on hold, mode manual, below a threshold: without a person or another change nothing will happen.
  const idle = status !== null && status.activeRun === null && status.pending.dueAtMs === null;
  const waits = status !== null && status.pending.inserted + status.pending.updated + status.pending.deleted > 0;
  if (idle && (status.phase === 'paused' || (waits && ['waiting', 'held', 'proposed'].includes(status.phase))))
    return `${status.phase}: ${status.why}`;
  return null;
}

function serving(
  served: CustomizationRows['versions'][number],
  production: number | null,
  { versions }: CustomizationRows,
  holds: (datasetNumber: number) => boolean,
): string {
  const now = versions.find(({ version }) => version === production);
  if (!now || holds(now.dataset_number)) return `v${served.version} answers${now && now !== served ? `, by now v${now.version}` : ''}`;
  return `v${served.version} answered; production is v${now.version} again, which has not learned it`;
}

function tablesOf(seen: SensedRow | null, customization: CustomizationRows['customization']): string[] {
  const { database, table } = customization?.source ?? {};
  const examples = database !== undefined && table !== undefined ? `${database}.${table}` : 'modelwright.examples';
  if (!seen) return [examples];
  const changed = Number(seen.inserted) + Number(seen.updated) + Number(seen.deleted) > 0;
  return [...(seen.configured ? ['modelwright.customizations'] : []), ...(changed ? [examples] : [])];
}

function changes({ inserted, updated, deleted, configured }: SensedRow): string {
  const parts = [
    [Number(inserted), 'inserted'],
    [Number(updated), 'updated'],
    [Number(deleted), 'deleted'],
  ] as const;
  const named = parts.filter(([n]) => n > 0).map(([n, what]) => `${number(n)} ${what}`);
  return [...named, ...(configured ? ['settings changed'] : [])].join(', ') || 'no change of a row';
}

function training({ metrics, progress, training_ms }: RunRow, ended: boolean): string | null {
  if (ended && metrics) return `${primaryText(metrics)} in ${(Number(training_ms ?? 0) / 1_000).toFixed(1)} s`;
  return progress ? `step ${progress.step} of ${progress.steps}` : null;
}
