import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../platform/config.ts';
import { noTelemetry } from '../../platform/no-telemetry.ts';
import { prepareNamespace } from '../temporal/prepare-namespace.ts';
import { temporalBinary } from './go-binaries.ts';
import type { ProcessSpec } from './process-spec.ts';
import { probePort } from './probes.ts';

export function temporalProcess(config: Config): ProcessSpec {
  const folder = config.paths.processDir('temporal');
  const { MW_TEMPORAL_PORT: port, MW_TEMPORAL_UI_PORT: uiPort } = config.settings;
  return {
    name: 'temporal',
    after: [],
    ports: [
      { port, variable: 'MW_TEMPORAL_PORT' },
      { port: uiPort, variable: 'MW_TEMPORAL_UI_PORT' },
    ],
    prepare: async () => void (await mkdir(folder, { recursive: true })),
    command: temporalBinary(config.paths),
    args: [
      'server',
      'start-dev',
      `--ip=127.0.0.1`,
      `--port=${port}`,
      `--ui-port=${uiPort}`,
      `--namespace=${config.temporal.namespace}`,
      `--db-filename=${join(folder, 'temporal.db')}`,
      '--sqlite-pragma=journal_mode=wal',
      '--sqlite-pragma=synchronous=1',
      '--dynamic-config-value=matching.enableFairness=true',
      '--log-level=error',
    ],
    env: noTelemetry,
    probe: () => probePort(port),
    onReady: () => prepareNamespace(config),
    readyDeadlineMs: 60_000,
    stopDeadlineMs: 20_000,
  };
}
