import { podFolders, unprivileged } from '../../activities/kubernetes/job-manifest.ts';
import { noTelemetry } from '../../platform/no-telemetry.ts';
import type { ImageConfig } from './oci-image.ts';

/**
 * Where things lie in the image that trainings run in on a cluster. The same in the image that is built here without a registry and in the one of
 * trainer.Dockerfile; job specifications name paths by it.
 */
const root = '/opt/modelwright';
export const trainerLayout = {
  python: `${root}/python/bin/python3`,
  packages: `${root}/site-packages`,
  /** Holds the package modelwright_trainer. */
  trainer: `${root}/trainer`,
  /** Holds `<business model>/trainer.py`. */
  catalog: `${root}/catalog`,
  /** Holds one folder for each base model. */
  models: podFolders.models,
  /** Where a volume must be mounted: all else is read-only. */
  work: podFolders.work,
} as const;

/** Uid that trainings run as. */
export const trainerUser = unprivileged;

export const trainerEnvironment: Readonly<Record<string, string>> = {
  PATH: `${root}/python/bin:/usr/local/bin:/usr/bin:/bin`,
  PYTHONPATH: `${trainerLayout.trainer}:${trainerLayout.packages}`,
  PYTHONUNBUFFERED: '1',
  // Nothing can be written beside the sources.
  PYTHONDONTWRITEBYTECODE: '1',
  LC_ALL: 'C.UTF-8',
  HOME: trainerLayout.work,
  TMPDIR: trainerLayout.work,
  ORT_DISABLE_TELEMETRY: noTelemetry.ORT_DISABLE_TELEMETRY,
};

export const trainerImageConfig: ImageConfig = {
  Entrypoint: [trainerLayout.python, '-m', 'modelwright_trainer'],
  Env: Object.entries(trainerEnvironment).map(([name, value]) => `${name}=${value}`),
  User: `${trainerUser}:${trainerUser}`,
  WorkingDir: trainerLayout.work,
};
