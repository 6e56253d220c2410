/** Share of commits that must serve within the objective. */
export const sloTarget = 0.99;
/** Both windows must burn: the long one says that it matters, the short one that it still goes on. */
export const sloWindowsMs = { short: 300_000, long: 3_600_000 } as const;
export type SloWindow = keyof typeof sloWindowsMs;
/** At this rate a month's budget is gone in two days; alert rules use the same number. */
const fastBurn = 14.4;

export type SloState = 'none' | 'met' | 'burning' | 'missed';

/** Commits of a window whose time was up in it, and those of them that were not served by then. */
export type SloCounts = { readonly due: number; readonly late: number };

/** How many times faster than allowed the budget is used up; 0 where nothing was due. */
export const burnRate = ({ due, late }: SloCounts): number => (due === 0 ? 0 : late / due / (1 - sloTarget));

export type SloInput = {
  readonly sloMs: number | null;
  /** Age of the oldest commit that no version in production has learned; null: there is none. */
  readonly oldestUnservedMs: number | null;
  readonly counts: Readonly<Record<SloWindow, SloCounts>>;
};

/** The state of an objective, and a sentence that says why. */
export function judgeSlo({ sloMs, oldestUnservedMs, counts }: SloInput): { readonly state: SloState; readonly detail: string } {
  if (sloMs === null) return { state: 'none', detail: 'no objective: set the policy knob servingSloMs' };
  const allowed = `${seconds(sloMs)} from commit to serving`;
  const late = `${counts.long.late} of ${counts.long.due} commits of the last hour were served late or not at all`;
  if (oldestUnservedMs !== null && oldestUnservedMs > sloMs)
    return { state: 'missed', detail: `a commit has waited ${seconds(oldestUnservedMs)}, ${allowed} are allowed; ${late}` };
  if (burnRate(counts.short) >= fastBurn && burnRate(counts.long) >= fastBurn)
    return { state: 'burning', detail: `${late}, ${allowed} are allowed for ${sloTarget * 100} %` };
  return {
    state: 'met',
    detail: counts.long.due === 0 ? `nothing was due in the last hour; ${allowed} are allowed` : `${late}; ${allowed}`,
  };
}

const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`;
