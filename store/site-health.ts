import { nowMs } from '../platform/clock.ts';
import type { StoreSite } from './object-store.ts';

/** So long a site that did not answer is asked only where the other one cannot help: each question to it may take seconds. */
const awayMs = 15_000;
/** More objects than this were not what they should be: the oldest are forgotten, and found again. */
const maxSuspects = 10_000;

/** What this process has seen of its sites: which one does not answer, and which objects of which are not what they should be. */
export class SiteHealth {
  readonly #awayUntil = new Map<StoreSite, number>();
  readonly #suspects = new Set<string>();

  away(site: StoreSite): void {
    this.#awayUntil.set(site, nowMs() + awayMs);
  }
  here(site: StoreSite): void {
    this.#awayUntil.delete(site);
  }
  isAway(site: StoreSite): boolean {
    return (this.#awayUntil.get(site) ?? 0) > nowMs();
  }

  suspect(site: StoreSite, key: string): void {
    this.#suspects.add(`${site.name} ${key}`);
    const [oldest] = this.#suspects;
    if (this.#suspects.size > maxSuspects && oldest !== undefined) this.#suspects.delete(oldest);
  }
  trust(site: StoreSite, key: string): void {
    this.#suspects.delete(`${site.name} ${key}`);
  }

  /** In which order they are asked for an object. */
  order(sites: readonly StoreSite[], key: string): StoreSite[] {
    const rank = (site: StoreSite): number => (this.isAway(site) ? 2 : 0) + (this.#suspects.has(`${site.name} ${key}`) ? 1 : 0);
    return [...sites].sort((a, b) => rank(a) - rank(b));
  }
}
