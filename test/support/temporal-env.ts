import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { temporalBinary } from '../../infra/local/go-binaries.ts';
import { searchAttributes } from '../../core/search-attributes.ts';
import { resolvePaths } from '../../platform/paths.ts';

/** A Temporal server that `./mw up` has built into the cache, or one on PATH. */
export function temporalExecutable(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const candidates = [temporalBinary(resolvePaths(env)), ...(env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'temporal'))];
  const found = candidates.find((path) => existsSync(path));
  if (!found) throw new Error('no Temporal server found: run `./mw up` once (it builds one into the cache), or put `temporal` on PATH');
  return found;
}

/** A real server with a database in memory and our search attributes. */
export const startTemporal = (extraArgs: readonly string[] = []): Promise<TestWorkflowEnvironment> =>
  TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: temporalExecutable() },
      extraArgs: [
        ...Object.entries(searchAttributes).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
        '--sqlite-pragma',
        'journal_mode=wal',
        '--sqlite-pragma',
        'synchronous=1',
        ...extraArgs,
      ],
    },
  });
