import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Paths } from '../../platform/paths.ts';
import { freePorts } from '../../infra/local/ports.ts';
import { peerPython } from '../support/peer-python.ts';
import { cpuMicroseconds, processTree, residentBytes } from '../support/process-usage.ts';
import { type Ask, asker } from './load.ts';
import { type TrainedModel, answeringOf, weightsOf } from './trained-store.ts';

/** A server that answers texts by the trained model, in processes of its own. */
export type Server = {
  readonly name: string;
  readonly ask: Ask;
  readonly cpuMs: () => number;
  readonly residentBytes: () => number;
  readonly stop: () => Promise<void>;
};

const requirements = join(import.meta.dirname, 'peer/requirements.txt');
const startDeadlineMs = 120_000;

async function started(name: string, child: ChildProcess, ask: Ask): Promise<Server> {
  const ended = once(child, 'exit');
  const deadline = performance.now() + startDeadlineMs;
  for (;;) {
    const answered = await ask('a first text').catch(() => null);
    if (answered) break;
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`${name} did not start: its own output says why`);
    await sleep(200);
  }
  const pid = child.pid ?? 0;
  const sum = (of: (one: number) => number): number => processTree(pid).reduce((total, one) => total + of(one), 0);
  return {
    name,
    ask,
    cpuMs: () => sum(cpuMicroseconds) / 1_000,
    residentBytes: () => sum(residentBytes),
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** FastAPI, uvicorn and transformers, with so many worker processes and so many threads of PyTorch in each. */
export async function startPeer(paths: Paths, trained: TrainedModel, workers: number, threads: number): Promise<Server> {
  const python = await peerPython(paths, 'serving-peer', requirements);
  const [port = 0] = await freePorts(1);
  const args = ['-m', 'uvicorn', 'server:app', '--port', String(port), '--workers', String(workers), '--log-level', 'warning'];
  const child = spawn(python, [...args, '--no-access-log'], {
    cwd: join(import.meta.dirname, 'peer'),
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...process.env,
      PYTHONDONTWRITEBYTECODE: '1',
      TOKENIZERS_PARALLELISM: 'false',
      ENCODER: trained.encoderFolder,
      HEAD: weightsOf(trained),
      ANSWERING: answeringOf(trained),
      MAX_TOKENS: String(trained.maxTokens),
      THREADS: String(threads),
    },
  });
  const ask = asker(`http://127.0.0.1:${port}/predict`, {}, (text) => ({ inputs: [{ text }] }));
  return await started(`FastAPI, ${workers} worker${workers === 1 ? '' : 's'} x ${threads} thread${threads === 1 ? '' : 's'}`, child, ask);
}

/** The predictor. Its clients are `tenants` tenants in turn, each with the same head. */
export async function startOurs(trained: TrainedModel, precision: 'f32' | 'int8', tenants = 1): Promise<Server> {
  const [port = 0] = await freePorts(1);
  const token = 'between our own processes';
  const args = [join(import.meta.dirname, 'our-server.ts'), String(port), precision, token, JSON.stringify(trained)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  let next = 0;
  const ask = asker(`http://127.0.0.1:${port}/internal/predict`, { authorization: `Bearer ${token}` }, (text) => ({
    tenantId: `tenant-${next++ % tenants}`,
    customizationId: 'c',
    version: 1,
    inputs: [{ text }],
  }));
  return await started(`predictor, ${precision}`, child, ask);
}
