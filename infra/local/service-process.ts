import { join } from 'node:path';
import { engineNames, type ServiceName } from '../../core/process-names.ts';
import type { Config, Settings } from '../../platform/config.ts';
import { projectDir } from '../../platform/paths.ts';
import { probeHttp } from './probes.ts';
import type { ProcessSpec } from './process-spec.ts';

const portVariables = {
  api: 'MW_API_PORT',
  'change-consumer': 'MW_CHANGE_CONSUMER_PORT',
  orchestrator: 'MW_ORCHESTRATOR_PORT',
  dataset: 'MW_DATASET_PORT',
  training: 'MW_TRAINING_PORT',
  sharding: 'MW_SHARDING_PORT',
  predictor: 'MW_PREDICTOR_PORT',
} as const satisfies Record<ServiceName, keyof Settings>;

/**
 * How the sharder's Node is to be started, so that it stays below 256 MiB: what it reads lies in small buffers until the young generation is full, and
 * what its threads have freed would stay in a heap of each.
 */
export const lean = { flags: ['--max-semi-space-size=1'], env: { MALLOC_ARENA_MAX: '1' } } as const;

/** One of our own processes: the same Node, an entry file, settings by environment. */
export function serviceProcess(name: ServiceName, config: Config, env: Readonly<Record<string, string>>): ProcessSpec {
  const variable = portVariables[name];
  const port = config.settings[variable];
  const entry = name === 'api' ? 'api/main.ts' : `workers/${name}.ts`;
  return {
    name,
    after: [...engineNames],
    ports: [{ port, variable }],
    command: process.execPath,
    args: [
      ...(name === 'sharding' ? lean.flags : []),
      '--disable-warning=ExperimentalWarning',
      '--disable-warning=TimeoutNegativeWarning',
      join(projectDir, entry),
    ],
    env: name === 'sharding' ? { ...env, ...lean.env } : env,
    probe: () => probeHttp(`http://127.0.0.1:${port}/livez`),
    readyDeadlineMs: 120_000,
    stopDeadlineMs: 25_000,
  };
}
