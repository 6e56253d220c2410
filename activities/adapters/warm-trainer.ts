import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { nowMs, sleep } from '../../platform/clock.ts';
import { sourceDigest } from '../training/trainer-digest.ts';

export type TrainerProgram = {
  readonly python: string;
  /** Folder that holds the trainer package. */
  readonly trainerDir: string;
};

type WarmTrainerLog = Readonly<Record<'info' | 'warn', (about: object, message: string) => void>>;

/** A trainer that has loaded its libraries, and of which each job becomes a process of its own. */
export type WarmTrainer = {
  /** Process id of a new job, in a session of its own, with this environment and nothing else; null when the job must be started cold. */
  fork(folder: string, env: Readonly<Record<string, string>>): Promise<number | null>;
  /** Process id while one is there. */
  pid(): number | null;
  /** Lets it go; jobs go on. */
  close(): Promise<void>;
};

/** Loading takes seconds; on a busy machine with a slow disk a minute. A job that waits for it loses nothing: it would load as long by itself. */
const readyDeadlineMs = 60_000;
/** A fork takes milliseconds. */
const replyDeadlineMs = 10_000;
const firstPauseMs = 1_000;
const longestPauseMs = 300_000;
const keptErrorChars = 2_000;

type Reply = { readonly id?: number; readonly ready?: boolean; readonly pid?: number; readonly error?: string };
type Nursery = {
  readonly child: ChildProcess;
  /** Of the sources that it has loaded. */
  readonly digest: string;
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
  /** Takes the reply to a request. */
  readonly waiting: Map<number, (reply: Reply) => void>;
};

/** Starts it, and starts it anew when it dies or when the trainer's sources have changed. It ends with this process, however that ends. */
export function startWarmTrainer(
  program: TrainerProgram,
  folder: string,
  env: Readonly<Record<string, string>>,
  logger: WarmTrainerLog,
): WarmTrainer {
  let nursery: Nursery | null = null;
  let closed = false;
  let pauseMs = firstPauseMs;
  let requests = 0;
  let again: NodeJS.Timeout | undefined;

  const start = (): void => {
    clearTimeout(again);
    const startedMs = nowMs();
    const made = spawnNursery(program, folder, env, (lastLine) => {
      if (nursery !== made) return;
      nursery = null;
      if (closed) return;
      logger.warn({ lastLine, againInMs: pauseMs }, 'the warm trainer ended: jobs start cold until it is back');
      again = setTimeout(start, pauseMs).unref();
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    });
    nursery = made;
    made.ready.then(
      () => logger.info({ pid: made.child.pid, ms: nowMs() - startedMs }, 'the warm trainer is ready'),
      () => undefined,
    );
  };
  const letGo = async ({ child, ended }: Nursery): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  const current = (): Nursery | null => {
    const former = nursery;
    if (former && former.digest !== sourceDigest(program.trainerDir)) {
      logger.info({}, "the trainer's sources have changed: a new warm trainer is started");
      start();
      former.child.kill('SIGKILL');
    }
    return nursery;
  };

  start();
  return {
    pid: () => nursery?.child.pid ?? null,
    fork: async (jobFolder, jobEnv) => {
      const from = current();
      if (!from) return null;
      try {
        await within(readyDeadlineMs, from.ready);
        const id = (requests += 1);
        const reply = new Promise<Reply>((resolve) => from.waiting.set(id, resolve));
        from.child.stdin?.write(`${JSON.stringify({ id, folder: jobFolder, env: jobEnv })}\n`);
        const { pid, error = '' } = await within(replyDeadlineMs, reply);
        from.waiting.delete(id);
        pauseMs = firstPauseMs;
        if (pid !== undefined) return pid;
        logger.warn({ reason: error }, 'the job starts cold');
      } catch (error) {
        logger.warn({ err: error }, 'the job starts cold');
        // One that does not answer will not answer the next either; its end starts another.
        from.child.kill('SIGKILL');
      }
      return null;
    },
    close: async () => {
      closed = true;
      clearTimeout(again);
      if (nursery) await letGo(nursery);
    },
  };
}

function spawnNursery(
  { python, trainerDir }: TrainerProgram,
  folder: string,
  env: Readonly<Record<string, string>>,
  onEnd: (lastLine: string) => void,
): Nursery {
  const digest = sourceDigest(trainerDir);
  const child = spawn(python, ['-m', 'modelwright_trainer.nursery'], { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] });
  const waiting: Nursery['waiting'] = new Map();
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-keptErrorChars);
  });
  // Writing to one that has just died: its end tells.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => {
    child.once('error', ({ message }) => {
      errors = message;
      resolve();
    });
    child.once('exit', () => resolve());
  });
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const reply = JSON.parse(line) as Reply;
      if (reply.ready === true) resolve();
      else waiting.get(reply.id ?? 0)?.(reply);
    });
    void ended.then(() => reject(new Error('the warm trainer ended')));
  });
  ready.catch(() => undefined);
  const tell = (): void => {
    for (const give of waiting.values()) give({ error: 'the warm trainer ended' });
    onEnd(errors.trim().split('\n').at(-1) ?? '');
  };
  void ended.then(tell);
  return { child, digest, ready, ended, waiting };
}

async function within<T>(deadlineMs: number, promise: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = sleep(deadlineMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`the warm trainer did not answer within ${deadlineMs / 1000} s`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
