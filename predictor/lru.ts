/** Loads each key once, however many ask at once, and lets go of what was used longest ago when the bytes are too many. */
export class LruLoader<V extends { readonly bytes: number }> {
  readonly #entries = new Map<string, Promise<V>>();
  readonly #sizes = new Map<string, number>();
  readonly #limitBytes: number;
  readonly #onEvict: (value: V) => void;

  constructor(limitBytes: number, onEvict: (value: V) => void = () => undefined) {
    this.#limitBytes = limitBytes;
    this.#onEvict = onEvict;
  }

  get bytes(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  async get(key: string, load: () => Promise<V>): Promise<V> {
    const known = this.#entries.get(key);
    if (known) {
      // Last in the map is used last.
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return await known;
    }
    const loading = load();
    this.#entries.set(key, loading);
    try {
      const value = await loading;
      if (this.#entries.get(key) !== loading) return value;
      this.#sizes.set(key, value.bytes);
      this.#shrink(key);
      return value;
    } catch (error) {
      if (this.#entries.get(key) === loading) this.#entries.delete(key);
      throw error;
    }
  }

  /** Lets go of one, whoever still uses it. One that is just being loaded is used once more and not kept. */
  drop(key: string): void {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    this.#sizes.delete(key);
    void entry?.then(this.#onEvict, () => undefined);
  }

  #shrink(keep: string): void {
    for (const [key, entry] of this.#entries) {
      if (this.bytes <= this.#limitBytes) return;
      if (key === keep || !this.#sizes.has(key)) continue;
      this.#entries.delete(key);
      this.#sizes.delete(key);
      void entry.then(this.#onEvict, () => undefined);
    }
  }
}
