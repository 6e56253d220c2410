import type { Paths } from '../../platform/paths.ts';

/** What a provisioner works with. `fraction` is 0..1 where the length of the step is known. */
export type ProvisionContext = {
  readonly paths: Paths;
  readonly report: (line: string, fraction?: number) => void;
  readonly signal: AbortSignal;
};

/** Fetches or builds one thing into the cache. Safe to repeat: a killed one starts again from nothing. */
export type Provisioner = {
  readonly name: string;
  readonly version: string;
  readonly ready: (context: ProvisionContext) => Promise<boolean>;
  readonly provision: (context: ProvisionContext) => Promise<void>;
};
