/** Bytes that may be in memory at once: who wants more waits until others have given theirs back. */
export class ByteBudget {
  readonly #most: number;
  #taken = 0;
  #stopped: { readonly error: unknown } | null = null;
  #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Waits for room; more than all of it is let in alone. Throws what `stop` was given. */
  async take(bytes: number): Promise<void> {
    while (!this.#stopped && this.#taken > 0 && this.#taken + bytes > this.#most)
      await new Promise<void>((changed) => this.#waiting.push(changed));
    if (this.#stopped) throw this.#stopped.error;
    this.#taken += bytes;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
    this.#wake();
  }

  /** Nobody waits any longer: the work has failed. */
  stop(error: unknown): void {
    this.#stopped ??= { error };
    this.#wake();
  }

  #wake(): void {
    for (const changed of this.#waiting.splice(0)) changed();
  }
}
