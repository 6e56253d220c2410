/** Before the first progress line the trainer loads its libraries and the encoder, on a slow disk for minutes. */
const firstLineMs = 300_000;
/** A job is hung after this many times its usual time between two lines, but never before `minimumMs`. */
const factor = 20;
const minimumMs = 120_000;
const keptIntervals = 31;

/** Tells a slow job from one that hangs, by its own pace. Times are epoch milliseconds. */
export class HangWatch {
  #lastMs: number;
  readonly #intervals: number[] = [];

  constructor(startedMs: number) {
    this.#lastMs = startedMs;
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
    const limit = median === undefined ? firstLineMs : Math.max(minimumMs, median * factor);
    return silent > limit ? silent : null;
  }
}
