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

/** The sharder reads gigabytes in small buffers, which stay until the young generation is full: a small one keeps 40 MiB of them less. */
const flags: Partial<Record<ServiceName, readonly string[]>> = { sharding: ['--max-semi-space-size=1'] };

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
      ...(flags[name] ?? []),
      '--disable-warning=ExperimentalWarning',
      '--disable-warning=TimeoutNegativeWarning',
      join(projectDir, entry),
    ],
    env,
    probe: () => probeHttp(`http://127.0.0.1:${port}/livez`),
    readyDeadlineMs: 120_000,
    stopDeadlineMs: 25_000,
  };
}
