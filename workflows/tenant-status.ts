import { defaultPolicy } from '../core/policy.ts';
import type { CustomizationPhase, CustomizationStatus, TenantPending, TenantStatus } from '../core/tenant-messages.ts';
import { bucketsToRead, countEvents, mergePending } from './pending-changes.ts';
import { nextDue } from './tenant-decide.ts';
import { type QuotaWait, quotaWait } from './tenant-quotas.ts';
import { type Entry, type TenantState, schemaOf } from './tenant-state.ts';
import { clockTime, counted, duration } from './wording.ts';

/** A comparison of dirty buckets takes seconds. */
const slowPlanMs = 60_000;

export function phaseOf(entry: Entry): CustomizationPhase {
  if (entry.activity?.kind === 'running' || entry.activity?.kind === 'starting') return 'training';
  if (entry.activity?.kind === 'planning') return 'planning';
  if (schemaOf(entry).held) return 'held';
  if (entry.settings?.state === 'paused') return 'paused';
  if (entry.hold && entry.hold.kind !== 'not_ready') return 'held';
  if (entry.proposal) return 'proposed';
  return entry.pending || entry.request || entry.optionsChangedAtMs !== null || !entry.settings ? 'waiting' : 'idle';
}

/** One sentence: why it is in this phase, and what happens next. `wait`: what the tenant's quotas say to a run that is due. */
export function whyOf(entry: Entry, nowMs: number, wait: QuotaWait | null = null): string {
  const { activity, pending } = entry;
  if (activity?.kind === 'running' && activity.paused) {
    const { sinceMs, by, reason } = activity.paused;
    return `run ${activity.run} is paused since ${clockTime(sinceMs)} by ${by}${reason === null ? '' : `: ${reason}`} (resumeRun goes on)`;
  }
  if (activity?.kind === 'running')
    return `run ${activity.run} (${activity.trigger}) since ${clockTime(activity.sinceMs)}${pending ? '; later changes wait for the next run' : ''}`;
  if (activity?.kind === 'starting') return `a run is being started: ${activity.reason ?? activity.trigger}`;
  if (activity?.kind === 'planning') {
    const lateMs = nowMs - activity.sinceMs;
    const late = lateMs > slowPlanMs ? ` (for ${duration(lateMs)}: is the dataset worker running?)` : '';
    return `the changed buckets are being compared with the last dataset${late}`;
  }
  const due = dueUnder(wait, entry, nowMs);
  const { held } = schemaOf(entry);
  if (!pending && !entry.request && entry.optionsChangedAtMs === null && !entry.hold && !held && entry.settings?.state !== 'paused')
    return entry.lastDecision ?? (entry.lastDataset ? `every change is in dataset ${entry.lastDataset.number}` : 'no examples yet');
  const what =
    pending && countEvents(pending) > 0 ? `${counted(countEvents(pending), 'change')} since ${clockTime(pending.firstSeenMs)}: ` : '';
  const when = due.atMs === null ? '' : due.atMs <= nowMs ? ', due now' : `, due in ${duration(due.atMs - nowMs)}`;
  const decision =
    entry.lastDecision && !entry.hold && !held && !entry.proposal && due.atMs === null && due.because !== entry.lastDecision
      ? ` (${entry.lastDecision})`
      : '';
  return `${what}${due.because}${when}${decision}`;
}

/** What is due now, and may not start now. */
function dueUnder(wait: QuotaWait | null, entry: Entry, nowMs: number): { readonly atMs: number | null; readonly because: string } {
  const due = nextDue(entry, nowMs);
  return wait && due.atMs !== null && due.atMs <= nowMs ? wait : due;
}

export function customizationStatus(
  customizationId: string,
  entry: Entry,
  nowMs: number,
  wait: QuotaWait | null = null,
): CustomizationStatus {
  const unlearned = mergePending(entry.batch, entry.pending);
  const due = entry.activity ? null : dueUnder(wait, entry, nowMs).atMs;
  return {
    customizationId,
    phase: phaseOf(entry),
    why: whyOf(entry, nowMs, wait),
    pending: {
      inserted: entry.pending?.inserted ?? 0,
      updated: entry.pending?.updated ?? 0,
      deleted: entry.pending?.deleted ?? 0,
      sinceMs: entry.pending?.firstSeenMs ?? null,
      dueAtMs: due,
    },
    activeRun: entry.activity?.kind === 'running' ? entry.activity.run : null,
    lastFailure: entry.lastFailure,
    production: entry.production,
    lagMs: unlearned && countEvents(unlearned) > 0 ? Math.max(0, nowMs - unlearned.firstCommitMs) : 0,
    policy: entry.settings?.policy ?? defaultPolicy,
    heldSchema: schemaOf(entry).held,
    loaded: entry.settings !== null,
  };
}

export function tenantStatus(state: TenantState, nowMs: number): TenantStatus {
  const wait = quotaWait(state, nowMs);
  const customizations = Object.entries(state.customizations).map(([id, entry]) => customizationStatus(id, entry, nowMs, wait));
  return { tenantId: state.tenantId, customizations };
}

/** What the workflow knows to differ between tables and datasets, and how far it has counted the log. */
export const tenantPending = (state: TenantState, nowMs: number): TenantPending => ({
  watermarks: state.watermarks,
  customizations: Object.fromEntries(
    Object.entries(state.customizations).map(([id, entry]) => [
      id,
      {
        phase: phaseOf(entry),
        why: whyOf(entry, nowMs, quotaWait(state, nowMs)),
        buckets: bucketsToRead(mergePending(entry.batch, entry.pending)),
      },
    ]),
  ),
});

/** Customizations in the Web UI's table; a tenant may have hundreds, the page must stay readable. */
const maxDetailRows = 50;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** The live table on the workflow's page in the Temporal Web UI. */
export function tenantDetails(state: TenantState, nowMs: number): string {
  const { customizations } = tenantStatus(state, nowMs);
  if (customizations.length === 0) return 'No customizations.';
  const rows = customizations.slice(0, maxDetailRows).map(({ customizationId, phase, pending, why, production }) => {
    const changes = `+${pending.inserted} ~${pending.updated} -${pending.deleted}`;
    const due = pending.dueAtMs === null ? '-' : new Date(pending.dueAtMs).toISOString().slice(0, 19).replace('T', ' ');
    return `| ${customizationId} | ${phase} | ${changes} | ${due} | ${cell(why)} | ${production === null ? '-' : `v${production}`} |`;
  });
  const more = customizations.length > maxDetailRows ? [`| and ${customizations.length - maxDetailRows} more | | | | | |`] : [];
  return ['| customization | phase | pending | due (UTC) | why | production |', '|---|---|---|---|---|---|', ...rows, ...more].join('\n');
}

/** The phase that an operator should see first when a tenant has several customizations. */
export function tenantPhase(state: TenantState): CustomizationPhase {
  const phases = Object.values(state.customizations).map(phaseOf);
  const order: readonly CustomizationPhase[] = ['training', 'held', 'planning', 'proposed', 'waiting', 'paused', 'idle'];
  return order.find((phase) => phases.includes(phase)) ?? 'idle';
}

/** For operators who look for held tenants: the first reason; null: no structure waits for a person. */
export const heldReason = (state: TenantState): string | null =>
  Object.values(state.customizations)
    .map((entry) => schemaOf(entry).held?.reason)
    .find((reason) => reason !== undefined) ?? null;
