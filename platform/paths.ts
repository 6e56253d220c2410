import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** The project folder: where package.json lies. */
export const projectDir = resolve(import.meta.dirname, '..');

/** Folders of one embedded installation. `home` holds state, `cache` only what can be fetched or built again. */
export type Paths = {
  readonly home: string;
  readonly cache: string;
  readonly secretsFile: string;
  readonly operatorKeyFile: string;
  /** One folder an engine or service: data, logs, pid. */
  readonly processDir: (name: string) => string;
  readonly logFile: (name: string) => string;
  /** Work folders of local training jobs, one a job name. */
  readonly jobsDir: string;
  /** Folders of base encoders in Hugging Face layout, one an encoder name. */
  readonly modelsDir: string;
  readonly trainerEnv: string;
  readonly trainerPython: string;
};

/** The trainer's environment is named by what is in it. */
const trainerEnvName = (): string =>
  `trainer-env-${createHash('sha256')
    .update(readFileSync(join(projectDir, 'trainer/requirements.txt')))
    .digest('hex')
    .slice(0, 12)}`;
/** Of what provisioning writes beside an encoder's weights: 2 has token embeddings and languages. */
const baseModelsVersion = '2';

export function resolvePaths(env: Readonly<Record<string, string | undefined>>): Paths {
  const home = resolve(env['MW_HOME'] ?? join(projectDir, '.modelwright'));
  const cache = resolve(env['MW_CACHE_DIR'] ?? join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'modelwright'));
  const trainerEnv = join(cache, trainerEnvName());
  return {
    home,
    cache,
    secretsFile: join(home, 'secrets.json'),
    operatorKeyFile: join(home, 'operator.key'),
    processDir: (name) => join(home, 'run', name),
    logFile: (name) => join(home, 'logs', `${name}.log`),
    jobsDir: join(home, 'jobs'),
    modelsDir: resolve(env['MW_MODELS_DIR'] ?? join(cache, `models-${baseModelsVersion}`)),
    trainerEnv,
    trainerPython: env['MW_TRAINER_PYTHON'] ?? join(trainerEnv, 'bin', 'python'),
  };
}
