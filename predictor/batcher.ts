import { FairQueue } from './fair-queue.ts';
import { Overloaded } from './overloaded.ts';

/** `I` is what is asked, `P` what is made of it before it can run, `R` its answer. */
export type BatchWork<I, P, R> = {
  /** Tokens of one batch. What another tenant's text waits at most: the batch that runs when it comes. */
  readonly maxTokens: number;
  /** Items that may wait; one request of as many must fit. */
  readonly maxWaiting: number;
  /** A cheap guess of the tokens: the items of one request go in this order, so that like lengths meet. */
  readonly roughly: (item: I) => number;
  /** Called when the item's turn comes, not before: a thousand long texts are not cut into tokens while others wait. */
  readonly prepare: (item: I) => P;
  readonly tokensOf: (prepared: P) => number;
  /** One pass. The answers have the order of the items; the last item is the longest. */
  readonly run: (prepared: readonly P[]) => Promise<readonly R[]>;
  /** The time now, in milliseconds: how fast items go is what a request that is refused is told. */
  readonly nowMs: () => number;
};

type Asked<R> = {
  readonly answers: R[];
  left: number;
  readonly resolve: (answers: R[]) => void;
  readonly reject: (error: unknown) => void;
  withdraw: () => void;
};
type Waiting<I, P, R> = { readonly item: I; readonly index: number; readonly asked: Asked<R>; prepared: { readonly value: P } | null };

/** Padding, in tokens, that is computed rather than start another pass: a pass costs about as much as 11 tokens, whatever its size. */
const paddingWorthAPass = 16;
/** Of the time of an item, how much the latest batch weighs. */
const latestWeight = 0.2;

/**
 * Answers the requests that wait at the same time together. Nobody waits for company: a request that comes alone runs at once, and those that come
 * while it runs are the next batch.
 */
export class Batcher<I, P, R> {
  readonly #work: BatchWork<I, P, R>;
  readonly #queue = new FairQueue<Waiting<I, P, R>>();
  #running = false;
  #msPerItem = 0;

  constructor(work: BatchWork<I, P, R>) {
    this.#work = work;
  }

  /**
   * The answers have the order of the items. A pass that fails fails the requests that have items in it, and no others. Fails with Overloaded where
   * more waits than may, and only owners that ask for more than others do: where there is no room, the newest request of the one with most waiting goes.
   */
  ask(owner: string, items: readonly I[]): Promise<R[]> {
    if (items.length === 0) return Promise.resolve([]);
    if (!this.#makeRoom(owner, items.length)) return Promise.reject(this.#overloaded());
    const { promise, resolve, reject } = Promise.withResolvers<R[]>();
    const asked: Asked<R> = { answers: [], left: items.length, resolve, reject, withdraw: () => undefined };
    const waiting = items
      .map((item, index) => ({ size: this.#work.roughly(item), entry: { item, index, asked, prepared: null } }))
      .sort((a, b) => a.size - b.size)
      .map(({ entry }) => entry);
    asked.withdraw = this.#queue.add(owner, waiting);
    if (!this.#running) void this.#drain();
    return promise;
  }

  /** False: the owner itself is the one that has most waiting. */
  #makeRoom(owner: string, items: number): boolean {
    while (this.#queue.size + items > this.#work.maxWaiting) {
      const longest = this.#queue.newestOfLongest();
      if (!longest || longest.waiting <= this.#queue.waitingOf(owner) + items) return false;
      failed(longest.item.asked, this.#overloaded());
    }
    return true;
  }

  #overloaded(): Overloaded {
    return new Overloaded(this.#queue.size, this.#queue.size * this.#msPerItem);
  }

  async #drain(): Promise<void> {
    this.#running = true;
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      const fromMs = this.#work.nowMs();
      for (const pass of passesOf(batch, ({ tokens }) => tokens)) {
        try {
          const answers = await this.#work.run(pass.map(({ prepared }) => prepared));
          pass.forEach(({ asked, index }, i) => answered(asked, index, answers[i] as R));
        } catch (error) {
          for (const { asked } of pass) failed(asked, error);
        }
      }
      const msPerItem = (this.#work.nowMs() - fromMs) / batch.length;
      this.#msPerItem = this.#msPerItem === 0 ? msPerItem : this.#msPerItem + latestWeight * (msPerItem - this.#msPerItem);
    }
    this.#running = false;
  }

  #take(): { readonly prepared: P; readonly tokens: number; readonly index: number; readonly asked: Asked<R> }[] {
    const taken = this.#queue.take(this.#work.maxTokens, (waiting) => {
      try {
        // Looked at once more when it did not fit.
        waiting.prepared ??= { value: this.#work.prepare(waiting.item) };
        return this.#work.tokensOf(waiting.prepared.value);
      } catch (error) {
        failed(waiting.asked, error);
        return 0;
      }
    });
    const ready = taken.flatMap(({ prepared, index, asked }) =>
      prepared ? [{ prepared: prepared.value, tokens: this.#work.tokensOf(prepared.value), index, asked }] : [],
    );
    // All that was taken could not be prepared: there may be others behind.
    return ready.length === 0 && taken.length > 0 ? this.#take() : ready;
  }
}

function answered<R>(asked: Asked<R>, index: number, answer: R): void {
  asked.answers[index] = answer;
  asked.left -= 1;
  if (asked.left === 0) asked.resolve(asked.answers);
}

function failed<R>(asked: Asked<R>, error: unknown): void {
  asked.withdraw();
  asked.reject(error);
}

/** Short ones first. Another pass begins where padding all of the pass to the next length would cost more than a pass does. */
export function passesOf<T>(items: readonly T[], tokensOf: (item: T) => number): T[][] {
  const passes: T[][] = [];
  let width = 0;
  let padding = 0;
  for (const item of [...items].sort((a, b) => tokensOf(a) - tokensOf(b))) {
    const pass = passes.at(-1);
    const more = pass ? pass.length * (tokensOf(item) - width) : 0;
    if (pass && padding + more <= paddingWorthAPass) {
      pass.push(item);
      padding += more;
    } else {
      passes.push([item]);
      padding = 0;
    }
    width = tokensOf(item);
  }
  return passes;
}
