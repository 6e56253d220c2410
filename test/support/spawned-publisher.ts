import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { projectDir } from '../../platform/paths.ts';
import type { PublisherEngines, PublisherOrder } from './publisher-process.ts';

type Outcome = { readonly version: number } | { readonly failure: string };

/** A publisher in a process that can really be killed, or stopped. */
export class SpawnedPublisher {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<void>;

  private constructor(engines: PublisherEngines) {
    this.#process = spawn(process.execPath, [join(projectDir, 'test/support/publisher-process.ts')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { stdout } = this.#process;
    if (!stdout) throw new Error('the publisher has no output');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    this.#ended = new Promise((resolve) => this.#process.once('close', () => resolve()));
    // Writing to one that was killed fails, and means nothing.
    this.#process.stdin?.on('error', () => undefined);
    this.#tell(engines);
  }

  /** Started, its modules loaded, connected: it waits for its order. */
  static async ready(engines: PublisherEngines): Promise<SpawnedPublisher> {
    const publisher = new SpawnedPublisher(engines);
    await publisher.#hear('ready');
    return publisher;
  }

  async go(order: PublisherOrder): Promise<void> {
    this.#tell(order);
    await this.#hear('go');
  }

  /** Null where it was killed before it could say how it went. */
  async outcome(): Promise<Outcome | null> {
    const { value, done } = await this.#lines.next();
    await this.#ended;
    return done === true ? null : (JSON.parse(value) as Outcome);
  }

  signal(name: 'SIGKILL' | 'SIGCONT'): void {
    this.#process.kill(name);
  }

  async isStopped(): Promise<boolean> {
    const stat = await readFile(`/proc/${this.#process.pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
  }

  #tell(message: unknown): void {
    this.#process.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  async #hear(word: string): Promise<void> {
    const { value, done } = await this.#lines.next();
    if (done === true || value !== word) throw new Error(`the publisher should have said ${word}`);
  }
}
