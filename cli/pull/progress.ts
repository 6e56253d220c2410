import { nowMs } from '../../platform/clock.ts';
import { type Screen, bar } from '../screen.ts';
import { bytes, duration } from '../wording.ts';

/** The rate is that of the last seconds: what comes next is more like them than like the beginning. */
const windowMs = 10_000;

/** How far a pull is: the line with bar, rate and time left. */
export class Progress {
  readonly #screen: Screen;
  readonly #verb: string;
  readonly #total: number;
  readonly #clock: () => number;
  readonly #reached = new Map<string, number>();
  #done = 0;
  #fetched = 0;
  #samples: { readonly atMs: number; readonly fetched: number }[];

  constructor(screen: Screen, verb: string, total: number, clock: () => number = nowMs) {
    this.#screen = screen;
    this.#verb = verb;
    this.#total = total;
    this.#clock = clock;
    this.#samples = [{ atMs: clock(), fetched: 0 }];
  }

  /** Bytes that came over the network. */
  get fetchedBytes(): number {
    return this.#fetched;
  }

  /** So many bytes of one part are there. */
  reached(path: string, count: number): void {
    this.#done += count - (this.#reached.get(path) ?? 0);
    this.#reached.set(path, count);
    this.#screen.changing(this.#verb, this.text());
  }

  fetched(count: number): void {
    this.#fetched += count;
    const atMs = this.#clock();
    const last = this.#samples.at(-1);
    // A sample for every chunk would be thousands a second.
    if (last && atMs - last.atMs < windowMs / 100) return;
    this.#samples.push({ atMs, fetched: this.#fetched });
    while ((this.#samples[1]?.atMs ?? Infinity) < atMs - windowMs) this.#samples.shift();
  }

  text(): string {
    const [first] = this.#samples;
    const passed = this.#clock() - (first?.atMs ?? 0);
    const perMs = passed > 0 ? (this.#fetched - (first?.fetched ?? 0)) / passed : 0;
    const rate = perMs > 0 ? `, ${bytes(Math.round(perMs * 1_000))}/s, ${duration((this.#total - this.#done) / perMs)} left` : '';
    return `  ${this.#verb} ${bar(this.#done, this.#total)} of ${bytes(this.#total)}${rate}`;
  }
}
