import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, closeSync, fstatSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import { isAlive, startTicksOf } from '../../platform/process-identity.ts';
import { lastWords } from './last-words.ts';
import type { ProcessSpec } from './process-spec.ts';

export type ProcessState = 'stopped' | 'starting' | 'running' | 'backoff' | 'stopping';
export type ProcessStatus = {
  readonly name: string;
  readonly pid: number | null;
  readonly state: ProcessState;
  readonly since: string;
  readonly restarts: number;
};

const firstBackoffMs = 250;
const maxBackoffMs = 15_000;
/** A process that ran this long starts again without delay. */
const stableMs = 60_000;
const probeEveryMs = 100;
const maxLogBytes = 20 * 1024 * 1024;

/** One child process in a group of its own: started, probed, restarted with backoff when it dies, and stopped. */
export class SupervisedProcess {
  readonly spec: ProcessSpec;
  #paths: Paths;
  #onChange: (message: string) => void;
  #state: ProcessState = 'stopped';
  #sinceMs = nowMs();
  /** Also the number of its group, which may outlive it. */
  #pid: number | null = null;
  #alive = false;
  #exited: Promise<void> = Promise.resolve();
  #restarts = 0;
  #abort = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(spec: ProcessSpec, paths: Paths, onChange: (message: string) => void) {
    this.spec = spec;
    this.#paths = paths;
    this.#onChange = onChange;
  }

  get status(): ProcessStatus {
    return {
      name: this.spec.name,
      pid: this.#alive ? this.#pid : null,
      state: this.#state,
      since: new Date(this.#sinceMs).toISOString(),
      restarts: this.#restarts,
    };
  }

  #enter(state: ProcessState, message: string): void {
    this.#state = state;
    this.#sinceMs = nowMs();
    this.#onChange(`${this.spec.name}: ${message}`);
  }

  /** Starts and returns when the process is ready for the first time; it is kept running from then on. */
  async start(): Promise<void> {
    this.#abort = new AbortController();
    await this.endStale();
    await this.#launch();
    this.#loop = this.#keepRunning();
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('stopping'));
    if (this.#state !== 'stopped') this.#enter('stopping', 'stopping');
    if (this.#pid !== null) await endGroup(this.#pid, this.spec.stopDeadlineMs, this.#exited);
    await this.#loop.catch(() => undefined);
    rmSync(this.#pidFile, { force: true });
    this.#pid = null;
    this.#enter('stopped', 'stopped');
  }

  /** Sends a signal to the process itself, as a fault test does; nothing happens while there is none, as before its next start. */
  kill(signal: NodeJS.Signals): void {
    if (this.#pid !== null && this.#alive) process.kill(this.#pid, signal);
  }

  get #pidFile(): string {
    return join(this.#paths.processDir(this.spec.name), 'pid.json');
  }

  /** Ends what an earlier, killed supervisor left running. */
  async endStale(): Promise<void> {
    if (!existsSync(this.#pidFile)) return;
    const { pid, startTicks } = JSON.parse(readFileSync(this.#pidFile, 'utf8')) as { pid: number; startTicks: string };
    if (isAlive(pid, startTicks)) {
      this.#onChange(`${this.spec.name}: ending process ${pid} of an earlier start`);
      await endGroup(pid, this.spec.stopDeadlineMs, waitUntilGone(pid, startTicks));
    }
    rmSync(this.#pidFile, { force: true });
  }

  async #launch(): Promise<void> {
    this.#enter('starting', 'starting');
    await this.spec.prepare?.(this.#abort.signal);
    const log = this.#paths.logFile(this.spec.name);
    mkdirSync(dirname(log), { recursive: true });
    mkdirSync(this.#paths.processDir(this.spec.name), { recursive: true });
    if (existsSync(log) && statSync(log).size > maxLogBytes) renameSync(log, `${log}.1`);
    const out = openSync(log, 'a');
    const before = fstatSync(out).size;
    const child = spawn(this.spec.command, [...this.spec.args], {
      cwd: this.#paths.processDir(this.spec.name),
      env: { ...process.env, ...this.spec.env },
      stdio: ['ignore', out, out],
      detached: true,
    });
    closeSync(out);
    this.#alive = true;
    const gone = new AbortController();
    this.#exited = new Promise((resolve) => {
      const end = (): void => {
        this.#alive = false;
        const said = lastWords(log, before);
        gone.abort(
          new Error(`${this.spec.name} ended while starting${said === null ? '' : ` (${said})`}: see \`./mw logs ${this.spec.name}\``),
        );
        resolve();
      };
      child.once('exit', end);
      child.once('error', end);
    });
    this.#pid = child.pid ?? null;
    if (this.#pid !== null) writeFileSync(this.#pidFile, JSON.stringify({ pid: this.#pid, startTicks: startTicksOf(this.#pid) }));
    const deadline = nowMs() + this.spec.readyDeadlineMs;
    for (;;) {
      this.#abort.signal.throwIfAborted();
      gone.signal.throwIfAborted();
      try {
        await this.spec.probe();
        break;
      } catch (error) {
        if (nowMs() > deadline) {
          throw new Error(
            `${this.spec.name} was not ready after ${this.spec.readyDeadlineMs / 1000} s (${String(error)}): see \`./mw logs ${this.spec.name}\``,
            { cause: error },
          );
        }
      }
      await sleep(probeEveryMs);
    }
    // What it asks of a process that has died meanwhile would never be answered.
    const ended = this.#exited.then(() => gone.signal.throwIfAborted());
    await Promise.race([this.spec.onReady?.(AbortSignal.any([this.#abort.signal, gone.signal])), ended]);
    this.#enter('running', `ready after ${((nowMs() - this.#sinceMs) / 1000).toFixed(1)} s`);
  }

  async #keepRunning(): Promise<void> {
    let backoffMs = firstBackoffMs;
    while (!this.#abort.signal.aborted) {
      await this.#exited;
      if (this.#abort.signal.aborted) return;
      if (this.#state === 'running' && nowMs() - this.#sinceMs > stableMs) backoffMs = firstBackoffMs;
      this.#enter('backoff', `ended; starting again in ${backoffMs} ms`);
      await sleep(backoffMs, undefined, { signal: this.#abort.signal }).catch(() => undefined);
      backoffMs = Math.min(backoffMs * 2, maxBackoffMs);
      if (this.#abort.signal.aborted) return;
      this.#restarts += 1;
      try {
        await this.#launch();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#onChange(error instanceof Error ? error.message : String(error));
        if (this.#pid !== null) await endGroup(this.#pid, this.spec.stopDeadlineMs, this.#exited);
      }
    }
  }
}

/** SIGTERM to the whole group, SIGKILL when the deadline has passed. */
async function endGroup(pid: number, deadlineMs: number, gone: Promise<void>): Promise<void> {
  const send = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-pid, signal);
    } catch {
      // No such group: it has ended.
    }
  };
  send('SIGTERM');
  const timer = new AbortController();
  const inTime = await Promise.race([gone.then(() => true), sleep(deadlineMs, false, { signal: timer.signal }).catch(() => true)]);
  timer.abort();
  send('SIGKILL');
  if (!inTime) await Promise.race([gone, sleep(5_000, undefined, { ref: false })]);
}

async function waitUntilGone(pid: number, startTicks: string): Promise<void> {
  while (isAlive(pid, startTicks)) await sleep(50);
}
