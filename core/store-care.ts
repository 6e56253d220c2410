/** Kinds of stored objects that a person tells apart. `base`: what all tenants share, and what belongs to nobody. */
export const storedKinds = ['datasets', 'models', 'staging', 'base'] as const;
export type StoredKind = (typeof storedKinds)[number];

export type Amount = { readonly objects: number; readonly bytes: number };
export type StorageUse = Readonly<Record<Exclude<StoredKind, 'base'>, Amount>>;

/** What nothing refers to and object lock holds; `until`: the latest end (ISO 8601). Null: there is none, or a legal hold has none. */
export type LockedAmount = Amount & { readonly until: string | null };

/** What a round of garbage collection removed of one tenant (or would remove), or of what all share. */
export type SweepReport = {
  /** Null: what all tenants share. */
  readonly tenantId: string | null;
  readonly removed: Readonly<Record<StoredKind, Amount>>;
  readonly kept: Amount;
  /** Absent in reports from before there were locks. */
  readonly locked?: LockedAmount;
  /** Keys that are none of ours: never touched. */
  readonly unknown: Amount;
  /** Versions and datasets that were taken from the registry before their objects. */
  readonly versions: readonly { readonly customizationId: string; readonly version: number }[];
  readonly datasets: number;
  /** Sentences: what was left for the next round, and why. */
  readonly deferred: readonly string[];
};

export type GcReport = {
  readonly dryRun: boolean;
  readonly removed: Readonly<Record<StoredKind, Amount>>;
  readonly kept: Amount;
  /** Absent in reports from before there were locks. */
  readonly locked?: LockedAmount;
  readonly unknown: Amount;
  readonly versions: number;
  readonly datasets: number;
  /** Those with most bytes to remove first; those with nothing are left out. */
  readonly tenants: readonly { readonly tenantId: string; readonly objects: number; readonly bytes: number; readonly versions: number }[];
  readonly moreTenants: number;
  readonly deferred: readonly string[];
  /** Tenants that could not be looked at, and why. */
  readonly failed: readonly string[];
};

/** What a round of reading stored objects found in one tenant, or in what all share. */
export type ScrubPart = Amount & {
  readonly damaged: number;
  readonly missing: number;
  readonly repaired: number;
  /** Sentences, one an object that is damaged or missing still; the first of them. */
  readonly open: readonly string[];
};
export type ScrubReport = ScrubPart & { readonly share: ScrubShare | null; readonly failed: readonly string[] };

/** The objects that a round reads: those whose digest falls on `index` of `of`. */
export type ScrubShare = { readonly index: number; readonly of: number };

/** Names of tenants and sentences in a report: a report travels as a payload. */
export const maxNamed = 100;

export const nothing: Amount = { objects: 0, bytes: 0 };
export const addAmounts = (a: Amount, b: Amount): Amount => ({ objects: a.objects + b.objects, bytes: a.bytes + b.bytes });
export const noLocks: LockedAmount = { ...nothing, until: null };
export const addLocked = (a: LockedAmount = noLocks, b: LockedAmount = noLocks): LockedAmount => {
  if (a.objects === 0 || b.objects === 0) return a.objects === 0 ? b : a;
  const until = a.until === null || b.until === null ? null : a.until > b.until ? a.until : b.until;
  return { ...addAmounts(a, b), until };
};
export const noKinds = (): Record<StoredKind, Amount> => ({ datasets: nothing, models: nothing, staging: nothing, base: nothing });

export const emptyGc = (dryRun: boolean): GcReport => ({
  dryRun,
  removed: noKinds(),
  kept: nothing,
  locked: noLocks,
  unknown: nothing,
  versions: 0,
  datasets: 0,
  tenants: [],
  moreTenants: 0,
  deferred: [],
  failed: [],
});

export function addSweep(report: GcReport, sweep: SweepReport): GcReport {
  const removed = noKinds();
  let sum = nothing;
  for (const kind of storedKinds) {
    removed[kind] = addAmounts(report.removed[kind], sweep.removed[kind]);
    sum = addAmounts(sum, sweep.removed[kind]);
  }
  const { tenantId, versions } = sweep;
  const named = tenantId === null || (sum.objects === 0 && versions.length === 0) ? [] : [{ tenantId, ...sum, versions: versions.length }];
  const tenants = [...report.tenants, ...named].sort((a, b) => b.bytes - a.bytes || (a.tenantId < b.tenantId ? -1 : 1));
  return {
    ...report,
    removed,
    kept: addAmounts(report.kept, sweep.kept),
    locked: addLocked(report.locked, sweep.locked),
    unknown: addAmounts(report.unknown, sweep.unknown),
    versions: report.versions + versions.length,
    datasets: report.datasets + sweep.datasets,
    tenants: tenants.slice(0, maxNamed),
    moreTenants: report.moreTenants + Math.max(0, tenants.length - maxNamed),
    deferred: [...report.deferred, ...sweep.deferred].slice(0, maxNamed),
  };
}

export const emptyScrub = (share: ScrubShare | null): ScrubReport => ({
  ...nothing,
  share,
  damaged: 0,
  missing: 0,
  repaired: 0,
  open: [],
  failed: [],
});

export const addScrub = (report: ScrubReport, part: ScrubPart): ScrubReport => ({
  ...report,
  ...addAmounts(report, part),
  damaged: report.damaged + part.damaged,
  missing: report.missing + part.missing,
  repaired: report.repaired + part.repaired,
  open: [...report.open, ...part.open].slice(0, maxNamed),
});
