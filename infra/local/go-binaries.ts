import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Paths, projectDir } from '../../platform/paths.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { buildCacheEntry, isComplete } from './cache-entry.ts';
import type { Provisioner } from './provision-context.ts';
import { runCommand } from './run-command.ts';

const temporalSources = join(projectDir, 'infra/temporal/dev-server');
const versitygw = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';

const temporalFolder = (paths: Paths): string => {
  const files = globSync('{*.go,go.mod,go.sum}', { cwd: temporalSources }).sort();
  const digest = sha256Hex(files.map((file) => readFileSync(join(temporalSources, file), 'utf8')).join('\0'));
  return join(paths.cache, `temporal-${digest.slice(0, 12)}`);
};
const s3Folder = (paths: Paths): string => join(paths.cache, 'versitygw-1.8.0');

export const temporalBinary = (paths: Paths): string => join(temporalFolder(paths), 'temporal');
export const s3Binary = (paths: Paths): string => join(s3Folder(paths), 'versitygw');

export const temporalProvisioner: Provisioner = {
  name: 'Temporal server with Web UI',
  version: '1.32.1',
  ready: async ({ paths }) => isComplete(temporalFolder(paths)),
  provision: async (context) => {
    await buildCacheEntry(context, temporalFolder(context.paths), async (folder) => {
      context.report('compiling (some minutes the first time)');
      await runCommand('go', ['build', '-v', '-trimpath', '-ldflags=-s -w', '-o', join(folder, 'temporal'), '.'], {
        cwd: temporalSources,
        env: { GOFLAGS: '-mod=readonly' },
        signal: context.signal,
        onLine: (line) => context.report(`compiling ${line.slice(0, 80)}`),
      });
    });
  },
};

export const s3Provisioner: Provisioner = {
  name: 'S3 server',
  version: '1.8.0',
  ready: async ({ paths }) => isComplete(s3Folder(paths)),
  provision: async (context) => {
    await buildCacheEntry(context, s3Folder(context.paths), async (folder) => {
      context.report('compiling');
      await runCommand('go', ['install', '-v', versitygw], {
        env: { GOBIN: folder },
        signal: context.signal,
        onLine: (line) => context.report(`compiling ${line.slice(0, 80)}`),
      });
    });
  },
};
