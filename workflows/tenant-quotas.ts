import { type GpuUse, gpuWindowMs } from '../core/quotas.ts';
import type { RunOutcome } from '../core/run.ts';
import type { Entry, TenantState } from './tenant-state.ts';

/** Why nothing more of the tenant may train now, whatever the policies say, and when that ends by itself. */
export type QuotaWait = {
  readonly because: string;
  /** Null: when a run ends, or an operator allows more. */
  readonly atMs: number | null;
};

/** A paused run holds neither CPU nor GPU. A comparison is counted: a run may follow it at once. */
const takesPlace = ({ activity }: Entry): boolean => activity !== null && !(activity.kind === 'running' && activity.paused);

/** Null: a run may start, or go on after a pause. An operator's word is above the tenant's: force and deletions wait too. */
export function quotaWait({ quotas = {}, gpuUse = [], customizations }: TenantState, nowMs: number): QuotaWait | null {
  const { concurrentTrainings, gpuSecondsPerDay } = quotas;
  if (gpuSecondsPerDay !== undefined) {
    const atMs = gpuAllowedAtMs(gpuUse, gpuSecondsPerDay, nowMs);
    const spent = Math.round(sum(within(gpuUse, nowMs)));
    if (atMs !== nowMs)
      return { because: `held: ${spent} of ${gpuSecondsPerDay} GPU seconds of this tenant in 24 hours are used (gpuSecondsPerDay)`, atMs };
  }
  if (concurrentTrainings === undefined) return null;
  const running = Object.values(customizations).filter(takesPlace).length;
  if (running < concurrentTrainings) return null;
  return { because: `waits: ${running} of ${concurrentTrainings} trainings of this tenant run (concurrentTrainings)`, atMs: null };
}

const within = (use: readonly GpuUse[], nowMs: number): GpuUse[] => use.filter(({ atMs }) => atMs > nowMs - gpuWindowMs);
const sum = (use: readonly GpuUse[]): number => use.reduce((total, { gpuSeconds }) => total + gpuSeconds, 0);

/** When less than the limit is used; null: never, the limit is zero. */
function gpuAllowedAtMs(use: readonly GpuUse[], limit: number, nowMs: number): number | null {
  if (limit <= 0) return null;
  const counted = within(use, nowMs).sort((a, b) => a.atMs - b.atMs);
  let left = sum(counted);
  let atMs = nowMs;
  for (const { atMs: endedAtMs, gpuSeconds } of counted) {
    if (left < limit) break;
    left -= gpuSeconds;
    atMs = endedAtMs + gpuWindowMs;
  }
  return atMs;
}

/** Notes what a run has used. Told twice, it counts once; also of a customization that was deleted meanwhile. */
export function withGpuUse(state: TenantState, outcome: RunOutcome, nowMs: number): TenantState {
  const { customizationId, run, gpuSeconds = 0 } = outcome;
  const known = within(state.gpuUse ?? [], nowMs);
  const told = known.some((use) => use.customizationId === customizationId && use.run === run);
  if (gpuSeconds <= 0 || told) return known.length === (state.gpuUse ?? []).length ? state : { ...state, gpuUse: known };
  return { ...state, gpuUse: [...known, { customizationId, run, atMs: nowMs, gpuSeconds }] };
}
