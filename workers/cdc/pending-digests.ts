import type { LogPosition } from '../../core/change-digest.ts';
import type { ChangeEffect } from './decode.ts';
import { DigestBuilder, type SensedCommit } from './digest-builder.ts';

/** The first change of a quiet tenant is signalled at once, the following ones together, at most once in this time. */
export const signalIntervalMs = 1_000;
/** Digests and commits that wait in memory before reading stops: a few hundred bytes each. */
const maxTenants = 20_000;
const maxCommits = 50_000;

type Tenant = {
  building: DigestBuilder | null;
  sending: DigestBuilder | null;
  notBeforeMs: number;
  /** The transaction that the last digest ended in. */
  open: readonly SensedCommit[];
};

/**
 * Digests of all tenants between reading and signalling, and how far each partition may be committed. Knows no clock and does no I/O.
 * At most one digest of a tenant is on its way: a later one that overtook it would make it look like a redelivery.
 */
export class PendingDigests {
  readonly #tenants = new Map<string, Tenant>();
  /** Those with a digest that waits, longest first: looking for the next one must not cost all tenants. */
  readonly #waiting = new Set<Tenant>();
  readonly #read = new Map<string, number>();

  /** Counts one event's effects. */
  add(partition: string, offset: number, effects: readonly ChangeEffect[], position: LogPosition, commitMs: number): void {
    for (const effect of effects) {
      let tenant = this.#tenants.get(effect.tenantId);
      if (!tenant) {
        tenant = { building: null, sending: null, notBeforeMs: 0, open: [] };
        this.#tenants.set(effect.tenantId, tenant);
      }
      if (!tenant.building) {
        tenant.building = new DigestBuilder(effect.tenantId, tenant.open);
        this.#waiting.add(tenant);
      }
      tenant.building.add(effect, position, commitMs, partition, offset);
    }
    this.skip(partition, offset);
  }

  /** An event that no digest counts was read. */
  skip(partition: string, offset: number): void {
    this.#read.set(partition, offset + 1);
  }

  /** Begins the sending of a digest that is due; null if none is. `sent` or `failed` ends it. */
  take(nowMs: number): DigestBuilder | null {
    for (const tenant of this.#waiting) {
      if (!tenant.building || tenant.sending || tenant.notBeforeMs > nowMs) continue;
      this.#waiting.delete(tenant);
      tenant.sending = tenant.building;
      tenant.open = tenant.building.openCommits();
      tenant.building = null;
      return tenant.sending;
    }
    return null;
  }

  /** When the next digest is due; null if none waits. */
  nextDueMs(): number | null {
    let next: number | null = null;
    for (const { sending, notBeforeMs } of this.#waiting) if (!sending) next = Math.min(next ?? Infinity, notBeforeMs);
    return next;
  }

  sent(digest: DigestBuilder, nowMs: number): void {
    const tenant = this.#tenants.get(digest.tenantId);
    // Forgotten by `clear` meanwhile.
    if (tenant?.sending !== digest) return;
    tenant.sending = null;
    tenant.notBeforeMs = nowMs + signalIntervalMs;
  }

  /** Nothing is lost: the digest goes on growing and is sent later. */
  failed(digest: DigestBuilder, retryAtMs: number): void {
    const tenant = this.#tenants.get(digest.tenantId);
    if (tenant?.sending !== digest) return;
    if (tenant.building) digest.absorb(tenant.building);
    tenant.building = digest;
    this.#waiting.add(tenant);
    tenant.sending = null;
    tenant.notBeforeMs = retryAtMs;
  }

  /** By partition: the next offset that a restart must read, because everything before it has had its effect. */
  lowWater(): Map<string, number> {
    const marks = new Map(this.#read);
    for (const { building, sending } of this.#tenants.values())
      for (const digest of [building, sending])
        for (const [partition, { firstOffset }] of digest?.ranges ?? [])
          marks.set(partition, Math.min(marks.get(partition) ?? firstOffset, firstOffset));
    return marks;
  }

  /** Forgets tenants that have been quiet long enough to be new again. */
  forgetQuiet(nowMs: number, quietMs: number): void {
    for (const [id, { building, sending, notBeforeMs }] of this.#tenants)
      if (!building && !sending && notBeforeMs + quietMs < nowMs) this.#tenants.delete(id);
  }

  /** Everything uncommitted will be read again. */
  clear(): void {
    this.#tenants.clear();
    this.#waiting.clear();
    this.#read.clear();
  }

  get waiting(): { readonly tenants: number; readonly commits: number } {
    let tenants = 0;
    let commits = 0;
    for (const { building, sending } of this.#tenants.values()) {
      if (building || sending) tenants += 1;
      commits += (building?.commitCount ?? 0) + (sending?.commitCount ?? 0);
    }
    return { tenants, commits };
  }

  get full(): boolean {
    const { tenants, commits } = this.waiting;
    return tenants >= maxTenants || commits >= maxCommits;
  }
}
