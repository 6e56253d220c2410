import { sleep } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';

/** A topic that does not exist yet is looked for this often. */
const lookIntervalMs = 1_000;
/** And whether those that are read are still there: a client that waits for a deleted one holds the others up. */
const checkIntervalMs = 10_000;
const stopDeadlineMs = 2_000;

export type FollowedTopicsDeps = {
  readonly listTopics: () => Promise<readonly string[]>;
  /** Reads exactly these from now on; offsets of those that stay are kept. */
  readonly read: (topics: readonly string[]) => Promise<void>;
  readonly logger: Logger;
  readonly signal: AbortSignal;
};

/** Keeps what is read equal to what is wanted, as far as it exists: a missing topic is waited for and holds nobody up. */
export class FollowedTopics {
  readonly #deps: FollowedTopicsDeps;
  #wanted: readonly string[];
  #read: readonly string[] | null = null;
  #told = '';
  /** What is read has ended by itself. */
  #stale = false;
  #started = false;
  #stopped = false;
  #turn: Promise<void> = Promise.resolve();
  #later: NodeJS.Timeout | null = null;

  constructor(wanted: readonly string[], deps: FollowedTopicsDeps) {
    this.#wanted = wanted;
    this.#deps = deps;
  }

  /** Resolves when at least one of the topics is read. */
  async start(): Promise<void> {
    this.#started = true;
    await this.settle();
  }

  async set(wanted: readonly string[]): Promise<void> {
    this.#wanted = [...new Set(wanted)];
    if (this.#started) await this.settle();
  }

  /** Looks again at what exists: also the remedy when reading ended because a topic was deleted. One at a time. */
  async settle(): Promise<void> {
    this.#turn = this.#turn.catch(() => undefined).then(() => this.#settle());
    await this.#turn;
  }

  /** Reads once more what is read already: after an end that was not asked for. */
  async again(): Promise<void> {
    this.#stale = true;
    await this.settle();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#later) clearTimeout(this.#later);
    // A broker that does not answer must not hold up a stop.
    await Promise.race([this.#turn.catch(() => undefined), sleep(stopDeadlineMs)]);
  }

  async #settle(): Promise<void> {
    const { listTopics, read, logger, signal } = this.#deps;
    if (this.#later) clearTimeout(this.#later);
    while (!this.#stopped) {
      try {
        const existing = new Set(await listTopics());
        if (this.#stopped) return;
        const wanted = this.#wanted;
        const present = wanted.filter((topic) => existing.has(topic));
        const missing = wanted.filter((topic) => !existing.has(topic));
        this.#tell(missing.length === 0 ? '' : `topics do not exist yet: waiting for ${missing.join(', ')}`);
        if (present.length > 0 || wanted.length === 0) {
          const same = this.#read?.length === present.length && present.every((topic) => this.#read?.includes(topic));
          if (!same || this.#stale) {
            this.#read = null;
            // Before the reading: it may end again while it begins.
            this.#stale = false;
            await read(present);
            this.#read = present;
          }
          const again = (): void => void this.settle().catch(() => undefined);
          if (!this.#stopped) this.#later = setTimeout(again, missing.length > 0 ? lookIntervalMs : checkIntervalMs).unref();
          return;
        }
      } catch (error) {
        logger.debug({ err: error }, 'the topics cannot be read now');
        this.#tell('Kafka does not answer yet: waiting for it');
      }
      await sleep(lookIntervalMs, undefined, { signal });
    }
  }

  #tell(what: string): void {
    if (what !== this.#told && what !== '') this.#deps.logger.warn(what);
    this.#told = what;
  }
}
