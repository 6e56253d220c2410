import type { Pool, PoolConnection } from '../../platform/mysql.ts';
import type { ObjectStore } from '../../store/object-store.ts';

/** The process is dead: nothing that it does after this has any effect. */
class Killed extends Error {
  override name = 'Killed';
}

/** A process that dies between two steps. Every call to the store or the database has a step before its effect and one after it. */
export class Life {
  #left: number;
  #steps = 0;
  #dead = false;
  readonly #flying = new Set<Promise<unknown>>();

  /** Dies instead of its step number `left`, the first being 0. */
  constructor(left = Number.POSITIVE_INFINITY) {
    this.#left = left;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Whatever it throws then is of its death: nobody hears it. */
  get dead(): boolean {
    return this.#dead;
  }

  step(): void {
    if (this.#left <= 0) {
      this.#dead = true;
      throw new Killed(`killed at step ${this.#steps}`);
    }
    this.#left--;
    this.#steps++;
  }

  async call<T>(effect: () => Promise<T>): Promise<T> {
    this.step();
    const flying = effect();
    this.#flying.add(flying);
    try {
      return await flying;
    } finally {
      this.#flying.delete(flying);
      this.step();
    }
  }

  /** Waits for what the servers were told before the death. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#flying);
  }
}

type Method = (...values: unknown[]) => unknown;

/** The object with every call of the named methods, or of all, in the hands of `life`. */
function mortal<T extends object>(object: T, life: Life, isMortal: (name: string) => boolean, changed: Record<string, Method> = {}): T {
  return new Proxy(object, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function' || typeof name !== 'string') return value;
      const own = changed[name];
      if (own) return own;
      const method = (value as Method).bind(target);
      return isMortal(name) ? (...values: unknown[]) => life.call(async () => await method(...values)) : method;
    },
  });
}

export const mortalStore = (store: ObjectStore, life: Life): ObjectStore => mortal(store, life, (name) => !/^(list|presign)/.test(name));

export function mortalPool(pool: Pool, life: Life): Pool {
  const isStatement = (name: string): boolean => ['query', 'execute', 'beginTransaction', 'commit'].includes(name);
  const getConnection = async (): Promise<PoolConnection> => {
    life.step();
    const connection = await pool.getConnection();
    try {
      life.step();
    } catch (error) {
      // The server sees the end of a dead client's connection.
      connection.destroy();
      throw error;
    }
    return mortal(connection, life, isStatement);
  };
  return mortal(pool, life, isStatement, { getConnection });
}
