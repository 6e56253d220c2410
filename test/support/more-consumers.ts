import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { projectDir } from '../../platform/paths.ts';
import { freePorts } from '../../infra/local/ports.ts';
import type { TestStack } from './engines.ts';

/** Further change consumers in the group of the stack's own, which come and go as a test wants. */
export class MoreConsumers {
  readonly #stack: TestStack;
  readonly #running: { readonly child: ChildProcess; readonly ended: Promise<unknown> }[] = [];

  constructor(stack: TestStack) {
    this.#stack = stack;
  }

  get count(): number {
    return this.#running.length;
  }

  async start(): Promise<void> {
    const [port] = await freePorts(1);
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(projectDir, 'workers/change-consumer.ts')], {
      env: { ...this.#stack.env, MW_CHANGE_CONSUMER_PORT: String(port), MW_LOG_LEVEL: 'warn' },
      stdio: 'ignore',
    });
    this.#running.push({ child, ended: once(child, 'exit') });
  }

  /** Ends the one that runs longest: SIGTERM lets it leave the group, SIGKILL makes the group find out. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const oldest = this.#running.shift();
    oldest?.child.kill(signal);
    await oldest?.ended;
  }

  async endAll(): Promise<void> {
    while (this.#running.length > 0) await this.end('SIGKILL');
  }
}
