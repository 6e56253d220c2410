type Line<T> = { readonly items: readonly T[]; readonly number: number; at: number };
type Owner<T> = { readonly lines: Line<T>[]; waiting: number };

/**
 * What waits, by owner. Owners take turns, one item a turn, and so do the requests of one owner: who asks for a thousand at once waits longer for
 * the last of them, but nobody else does.
 */
export class FairQueue<T> {
  /** In order of turns: a map keeps the order in which its keys were set. */
  readonly #owners = new Map<string, Owner<T>>();
  #size = 0;
  #added = 0;

  /** Items that wait. */
  get size(): number {
    return this.#size;
  }

  waitingOf(owner: string): number {
    return this.#owners.get(owner)?.waiting ?? 0;
  }

  /** Of the owner that has most waiting, an item of the request that came last; null where nothing waits. */
  newestOfLongest(): { readonly waiting: number; readonly item: T } | null {
    let longest: Owner<T> | null = null;
    for (const owner of this.#owners.values()) if (owner.waiting > (longest?.waiting ?? 0)) longest = owner;
    let newest: Line<T> | null = null;
    for (const line of longest?.lines ?? []) if (line.at < line.items.length && line.number > (newest?.number ?? -1)) newest = line;
    return longest && newest ? { waiting: longest.waiting, item: newest.items[newest.at] as T } : null;
  }

  /** The answer takes what still waits of these items out of the queue. */
  add(name: string, items: readonly T[]): () => void {
    const line: Line<T> = { items, number: this.#added++, at: 0 };
    const owner = this.#owners.get(name) ?? { lines: [], waiting: 0 };
    this.#owners.set(name, owner);
    owner.lines.push(line);
    owner.waiting += items.length;
    this.#size += items.length;
    return () => {
      const left = items.length - line.at;
      line.at = items.length;
      owner.waiting -= left;
      this.#size -= left;
    };
  }

  /** As many as the budget pays for, one at least. The first that is too dear stays the next in line, so that nobody is passed over for ever. */
  take(budget: number, costOf: (item: T) => number): T[] {
    const taken: T[] = [];
    let spent = 0;
    for (let next = this.#next(); next; next = this.#next()) {
      const [name, owner, line] = next;
      const { lines } = owner;
      const item = line.items[line.at] as T;
      spent += costOf(item);
      if (taken.length > 0 && spent > budget) break;
      taken.push(item);
      // An item whose cost cannot be told may have withdrawn its whole request meanwhile.
      if (line.at < line.items.length) {
        line.at += 1;
        owner.waiting -= 1;
        this.#size -= 1;
      }
      lines.shift();
      if (line.at < line.items.length) lines.push(line);
      this.#owners.delete(name);
      if (lines.length > 0) this.#owners.set(name, owner);
    }
    return taken;
  }

  /** Whose turn it is. Lines with nothing left, which were taken out meanwhile, are dropped on the way. */
  #next(): readonly [string, Owner<T>, Line<T>] | null {
    for (const [name, owner] of this.#owners) {
      const { lines } = owner;
      for (let line = lines[0]; line; line = lines[0]) {
        if (line.at < line.items.length) return [name, owner, line];
        lines.shift();
      }
      this.#owners.delete(name);
    }
    return null;
  }
}
