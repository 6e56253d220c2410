import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { bundleWorkflowCode, type Logger } from '@temporalio/worker';
import { projectDir } from '../platform/paths.ts';

export const workflowsPath = join(projectDir, 'workflows', 'index.ts');

const quiet: Logger = { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** SHA-256 of everything that the bundle is made of: our sources and the SDK's version. */
export function workflowDigest(): string {
  const hash = createHash('sha256');
  const sdk: unknown = createRequire(import.meta.url)('@temporalio/workflow/package.json');
  hash.update(JSON.stringify((sdk as { version?: unknown }).version ?? null));
  const files = globSync('{core,workflows}/**/*.ts', { cwd: projectDir }).filter((file) => !file.endsWith('.test.ts'));
  for (const file of files.sort()) hash.update(`\n${file}\n`).update(readFileSync(join(projectDir, file)));
  return hash.digest('hex');
}

/** Bundles the workflows for the Temporal sandbox. */
export const bundleWorkflows = async (): Promise<string> => (await bundleWorkflowCode({ workflowsPath, logger: quiet })).code;

/**
 * Path of the bundle in `<home>/build`, built if these sources were never bundled there: bundling takes seconds, a worker's start with a
 * ready bundle one. Written beside and renamed, so that a killed build leaves nothing half.
 */
export async function cachedWorkflowBundle(home: string): Promise<string> {
  const path = join(home, 'build', `workflows-${workflowDigest().slice(0, 16)}.js`);
  if (existsSync(path)) return path;
  await mkdir(join(home, 'build'), { recursive: true });
  const partial = `${path}.${process.pid}`;
  await writeFile(partial, await bundleWorkflows());
  await rename(partial, path);
  return path;
}
