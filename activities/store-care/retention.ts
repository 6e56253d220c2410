/** A version as the retention sees it. */
export type KeptVersion = {
  readonly version: number;
  readonly dataset: number;
  /** Published longer ago than the grace. */
  readonly old: boolean;
  readonly alias: boolean;
  readonly held: boolean;
  /** Object lock keeps it, or is to keep it. */
  readonly locked: boolean;
  readonly withdrawn: boolean;
};
export type KeptDataset = {
  readonly number: number;
  readonly old: boolean;
  /** The latest run, or one that has not ended, refers to it. */
  readonly inUse: boolean;
};

/**
 * Which versions and datasets of one customization go. Never one that is held; while the customization exists never one with an alias or a lock, and never
 * one of the newest `keep`. A withdrawn version takes no place among those. A dataset goes when neither a version that stays nor a run refers to it.
 */
export function retire(
  versions: readonly KeptVersion[],
  datasets: readonly KeptDataset[],
  { exists, keep }: { readonly exists: boolean; readonly keep: number },
): { readonly versions: readonly number[]; readonly datasets: readonly number[] } {
  const newest = new Set(
    versions
      .filter(({ withdrawn }) => !withdrawn)
      .map(({ version }) => version)
      .sort((a, b) => b - a)
      .slice(0, keep),
  );
  const goes = ({ version, old, alias, held, locked }: KeptVersion): boolean =>
    old && !held && (!exists || (!alias && !locked && !newest.has(version)));
  const learned = new Set(versions.filter((version) => !goes(version)).map(({ dataset }) => dataset));
  const latest = Math.max(0, ...datasets.map(({ number }) => number));
  return {
    versions: versions.filter(goes).map(({ version }) => version),
    datasets: datasets
      .filter(({ number, old, inUse }) => old && !inUse && !learned.has(number) && !(exists && number === latest))
      .map(({ number }) => number),
  };
}
