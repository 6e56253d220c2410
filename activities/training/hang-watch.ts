export type HangLimits = {
  /** Before the first progress line the trainer loads its libraries and the encoder, on a slow disk for minutes. */
  readonly firstLineMs: number;
  /** A job is never hung before this. */
  readonly minimumMs: number;
};
export const hangLimits: HangLimits = { firstLineMs: 300_000, minimumMs: 120_000 };
/** A job is hung after this many times its usual time between two lines. */
const factor = 20;
const keptIntervals = 31;

/** Tells a slow job from one that hangs, by its own pace. Times are epoch milliseconds. */
export class HangWatch {
  #lastMs: number;
  readonly #limits: HangLimits;
  readonly #intervals: number[] = [];

  constructor(startedMs: number, limits: HangLimits = hangLimits) {
    this.#lastMs = startedMs;
    this.#limits = limits;
  }

  progressed(nowMs: number): void {
    this.#intervals.push(nowMs - this.#lastMs);
    if (this.#intervals.length > keptIntervals) this.#intervals.shift();
    this.#lastMs = nowMs;
  }

  /** Nobody listens now: silence says nothing until somebody does again. */
  unheard(nowMs: number): void {
    this.#lastMs = nowMs;
  }

  /** How long it has been silent if that is too long; null while it is not. */
  hungAfterMs(nowMs: number): number | null {
    const silent = nowMs - this.#lastMs;
    const sorted = [...this.#intervals].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    const limit = median === undefined ? this.#limits.firstLineMs : Math.max(this.#limits.minimumMs, median * factor);
    return silent > limit ? silent : null;
  }
}
