/** Why an object cannot go: object lock holds it until then (Unix epoch ms), or a legal hold does, which has no end (null). */
export type LockedUntil = ReadonlyMap<string, number | null>;

/** Bytes that no plain listing shows: an older version, what lies under a delete marker, or such a marker itself. */
export type HiddenVersion = {
  readonly key: string;
  readonly versionId: string;
  readonly bytes: number;
  readonly modifiedMs: number;
};

/** Everything else was deleted; these stay, for object lock holds them. Asking again before their end does not help. */
export class ObjectsLocked extends Error {
  override name = 'ObjectsLocked';
  readonly locked: LockedUntil;
  constructor(locked: LockedUntil) {
    const [key] = locked.keys();
    super(`${locked.size} objects are under object lock and stay, ${key} among them`);
    this.locked = locked;
  }
}

/** What a store does where its bucket has object lock, or keeps versions. On other buckets nothing is locked and nothing hidden. */
export type ObjectLocks = {
  /** Nobody deletes or changes these objects before that time without the right to bypass (mode GOVERNANCE). Longer locks stay as they are. Key: object. */
  lock(keys: readonly string[], untilMs: number): Promise<void>;
  /** Those of the keys that are locked now. Keys that are not there are not. */
  locked(keys: readonly string[]): Promise<LockedUntil>;
  hidden(prefix: string): AsyncIterable<HiddenVersion>;
  /** Those that are locked now. */
  lockedHidden(versions: readonly HiddenVersion[]): Promise<ReadonlyMap<HiddenVersion, number | null>>;
  /** Removes them for good. */
  dropHidden(versions: readonly HiddenVersion[], signal?: AbortSignal): Promise<void>;
};

/** The later end of two; a hold without an end is later than any. */
export const laterEnd = (a: number | null | undefined, b: number | null): number | null =>
  a === undefined ? b : a === null || b === null ? null : Math.max(a, b);
