import type { ProcessName } from '../../core/process-names.ts';

/** How one process of the stack is started and known to be ready. */
export type ProcessSpec = {
  readonly name: ProcessName;
  /** Processes that must be ready before this one starts. */
  readonly after: readonly ProcessName[];
  readonly ports: readonly { readonly port: number; readonly variable: string }[];
  /** Runs before every start, such as initialising a data folder. Safe to repeat. */
  readonly prepare?: (signal: AbortSignal) => Promise<void>;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Throws until the process can do its work. */
  readonly probe: () => Promise<void>;
  /** Runs when the process is ready, after every start: migrations, topics, search attributes. Safe to repeat. */
  readonly onReady?: (signal: AbortSignal) => Promise<void>;
  readonly readyDeadlineMs: number;
  readonly stopDeadlineMs: number;
};
