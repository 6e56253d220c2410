import { stopLocalJobs } from '../../activities/adapters/stop-jobs.ts';
import { type EngineName, engineNames, type ProcessName, type ServiceName, serviceNames } from '../../core/process-names.ts';
import { type Config, loadConfig } from '../../platform/config.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { connectProcess, kafkaProcess } from './kafka-processes.ts';
import { mysqlProcess } from './mysql-process.ts';
import { portProblems } from './ports.ts';
import type { ProcessSpec } from './process-spec.ts';
import { s3Process } from './s3-process.ts';
import { ensureSecrets } from './secrets.ts';
import { serviceProcess } from './service-process.ts';
import { type ProcessStatus, SupervisedProcess } from './supervised-process.ts';
import { temporalProcess } from './temporal-process.ts';

/** What is wrong before anything was started: all of it, each with its remedy. */
export class StartProblems extends Error {
  override name = 'StartProblems';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

export type Stack = {
  readonly config: Config;
  status(): { readonly processes: readonly ProcessStatus[] };
  kill(name: ProcessName, signal: NodeJS.Signals): void;
  /** Stops one process and keeps it stopped until `resume`. */
  pause(name: ProcessName): Promise<void>;
  resume(name: ProcessName): Promise<void>;
  stop(): Promise<void>;
};

export type StackOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly engines?: readonly EngineName[];
  readonly services?: readonly ServiceName[];
  readonly onEvent?: (message: string) => void;
  /** Called once, before anything is started, with what tells the state of everything from then on. */
  readonly onStatus?: (status: Stack['status']) => void;
};

/** Starts the engines and services, each as soon as what it needs is ready, and keeps them running until `stop`. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const secrets = await ensureSecrets(resolvePaths(options.env));
  const config = loadConfig(options.env);
  const onEvent = options.onEvent ?? (() => undefined);
  const serviceEnv = Object.fromEntries(Object.entries(options.env).filter((entry): entry is [string, string] => entry[1] !== undefined));
  const makers: Record<EngineName, () => ProcessSpec | Promise<ProcessSpec>> = {
    mysql: () => mysqlProcess(config, secrets),
    kafka: () => kafkaProcess(config),
    connect: () => connectProcess(config, secrets),
    temporal: () => temporalProcess(config),
    s3: () => s3Process(config),
  };
  const engines = options.engines ?? engineNames;
  const specs = [
    ...(await Promise.all(engines.map(async (name) => await makers[name]()))),
    ...(options.services ?? serviceNames).map((name) => serviceProcess(name, config, serviceEnv)),
  ];
  const processes = new Map(specs.map((spec) => [spec.name, new SupervisedProcess(spec, config.paths, onEvent)] as const));
  for (const process of processes.values()) await process.endStale();
  const problems = await portProblems(specs);
  if (problems.length > 0) throw new StartProblems(problems);

  const status: Stack['status'] = () => ({ processes: [...processes.values()].map((process) => process.status) });
  options.onStatus?.(status);
  const stop = async (): Promise<void> => {
    for (const spec of [...specs].reverse()) {
      await processes.get(spec.name)?.stop();
      // Jobs outlive a worker that is killed; they do not outlive the stack.
      if (spec.name === 'training') await stopLocalJobs(config.paths.jobsDir);
    }
  };

  const ready = new Map<ProcessName, Promise<void>>();
  for (const spec of specs) {
    const before = spec.after.map((name) => ready.get(name) ?? Promise.resolve());
    const started = Promise.all(before).then(() => processes.get(spec.name)?.start());
    started.catch(() => undefined);
    ready.set(spec.name, started);
  }
  const results = await Promise.allSettled(ready.values());
  const failure = results.find((result) => result.status === 'rejected');
  if (failure) {
    await stop();
    throw failure.reason;
  }

  const find = (name: ProcessName): SupervisedProcess => {
    const found = processes.get(name);
    if (!found) throw new Error(`${name} is not part of this stack`);
    return found;
  };
  return {
    config,
    status,
    kill: (name, signal) => find(name).kill(signal),
    pause: (name) => find(name).stop(),
    resume: (name) => find(name).start(),
    stop,
  };
}
