/** Work that dies before or after one of its calls, the first being number 1; nothing dies while `dieAt` is 0. */
export class Dying {
  #calls = 0;
  #dieAt = 0;

  /** From here on calls are counted anew. */
  at(dieAt: number): void {
    this.#calls = 0;
    this.#dieAt = dieAt;
  }

  readonly counting =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      this.#step();
      const result = await work(...args);
      this.#step();
      return result;
    };

  #step(): void {
    if (++this.#calls === this.#dieAt) throw new Error('died');
  }
}
