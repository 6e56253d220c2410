import type { CustomizationKey } from './ids.ts';

export type ForgettingKey = CustomizationKey & { readonly number: number };
export type ForgettingState = 'waiting' | 'blocked' | 'removing' | 'done';

/** So long it is on record which objects were removed: predictors that were away drop them when they are back, and what they have had for longer. */
export const keptRemovalDays = 90;

/** Examples that one request names at most. */
export const maxForgotten = 1_000;

/** What is known of the versions, datasets and runs of a customization, seen by rows that are to be forgotten. */
export type ForgettingFacts = {
  readonly deadlinePassed: boolean;
  /** False: it was deleted, and nothing is built any more. */
  readonly exists: boolean;
  /** Rows that are in the table again. */
  readonly rowsInTable: readonly string[];
  /** Versions that learned one of the rows and are still there. */
  readonly versions: readonly { readonly version: number; readonly held: boolean }[];
  /** Datasets that hold one of the rows and are still there. */
  readonly datasets: readonly number[];
  /** Those of them that cannot be read, and are only taken to hold one. */
  readonly unread: readonly number[];
  /** Null: there is none. */
  readonly production: number | null;
  readonly latestDataset: number | null;
  /** Runs that have not ended and learn one of the rows, or may: `old` ones began before the request. */
  readonly runs: readonly { readonly run: number; readonly dataset: number | null; readonly old: boolean; readonly paused: boolean }[];
  /** A version that learned exactly the rows of the latest dataset, none of these, and passed its gate; null: there is none. */
  readonly equalVersion: number | null;
};

/** What comes next, and sentences that say what is waited for. */
export type ForgettingStep =
  | {
      readonly next: 'wait';
      readonly state: 'waiting' | 'blocked';
      readonly waitsFor: readonly string[];
      readonly cancelRuns: readonly number[];
    }
  | { readonly next: 'promote'; readonly version: number }
  | { readonly next: 'withdraw' }
  | { readonly next: 'remove' };

const named = (versions: readonly { readonly version: number }[]): string => versions.map(({ version }) => `v${version}`).join(', ');

/** Decides by what is known now; asked again until nothing that learned the rows is left. Pure. */
export function nextForgettingStep(facts: ForgettingFacts): ForgettingStep {
  const { deadlinePassed, exists, versions, datasets, unread, production, latestDataset, runs, equalVersion, rowsInTable } = facts;
  if (rowsInTable.length > 0)
    return blocked(
      `${rowsInTable.length === 1 ? 'a row is' : `${rowsInTable.length} rows are`} in the table again: delete ${rowsInTable.slice(0, 10).join(', ')}`,
    );
  const learning = runs.filter(({ dataset, old }) => dataset !== null || old);
  const serves = versions.find(({ version }) => version === production);
  if (!deadlinePassed && exists) {
    const waitsFor = [
      ...runs.map(({ run, dataset, paused }) =>
        dataset === null
          ? `run ${run} has not built its dataset yet`
          : `run ${run} learns a dataset that holds them, until it has ended${paused ? ': it is paused, resume or cancel it' : ''}`,
      ),
      ...(latestDataset !== null && datasets.includes(latestDataset)
        ? [
            unread.includes(latestDataset)
              ? `dataset ${latestDataset} is damaged, so it is taken to hold them: \`./mw store scrub\` mends it, or the next one is built`
              : `dataset ${latestDataset} holds them: the next one is not built yet`,
          ]
        : []),
      ...(serves && runs.length === 0 ? [`v${serves.version} learned them and serves: no version without them has replaced it`] : []),
    ];
    if (serves && equalVersion !== null && runs.length === 0) return { next: 'promote', version: equalVersion };
    if (waitsFor.length > 0) return { next: 'wait', state: 'waiting', waitsFor, cancelRuns: [] };
  }
  const held = versions.filter(({ held: is }) => is);
  // The dataset of a version that is held stays with it.
  if (versions.length > held.length || (held.length === 0 && datasets.length > 0)) return { next: 'withdraw' };
  if (learning.length > 0)
    return {
      next: 'wait',
      state: 'waiting',
      waitsFor: learning.map(({ run }) => `run ${run} learns them: it is cancelled, for the deadline has passed`),
      cancelRuns: learning.map(({ run }) => run),
    };
  if (held.length > 0)
    return blocked(
      `an operator holds ${named(held)}, which learned them: only the operator can release ${held.length === 1 ? 'it' : 'them'}`,
    );
  return { next: 'remove' };
}

const blocked = (sentence: string): ForgettingStep => ({ next: 'wait', state: 'blocked', waitsFor: [sentence], cancelRuns: [] });

/** Where a row's text, or what it left, may be longer than in the store; `until` null: nobody here can say. Unix times in ISO 8601. */
export type Residual = { readonly where: string; readonly what: string; readonly until: string | null; readonly note: string };

/** What a forgetting vouches for, signed as models are. */
export type ForgettingCertificate = {
  readonly format: 'modelwright-forgetting/1';
  readonly tenantId: string;
  readonly customizationId: string;
  readonly number: number;
  /** `SHA-256(salt, newline, id)` in hex of every example id, sorted. */
  readonly examples: { readonly salt: string; readonly digests: readonly string[] };
  readonly askedBy: string;
  readonly askedAt: string;
  readonly deadlineAt: string;
  readonly issuedAt: string;
  readonly withdrawn: { readonly versions: readonly number[]; readonly datasets: readonly number[] };
  readonly removed: { readonly objects: number; readonly bytes: number };
  /** What was read, byte for byte, in search of the texts, after everything was removed. */
  readonly search: ForgettingSearch;
  readonly residuals: readonly Residual[];
  readonly signature: { readonly keyId: string; readonly value: string };
};

export type ForgettingSearch = {
  readonly objects: number;
  readonly bytes: number;
  /** Texts that were looked for, in each of the ways that they may be written. */
  readonly texts: number;
  /** Texts that other examples of the customization have too: they stay where those are. */
  readonly shared: { readonly texts: number; readonly exampleIds: readonly string[] };
  /** Other customizations of the tenant in which a text was found: it must be forgotten there too. */
  readonly elsewhere: readonly string[];
};
