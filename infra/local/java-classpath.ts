import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Paths, projectDir } from '../../platform/paths.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { buildCacheEntry, isComplete } from './cache-entry.ts';
import type { Provisioner } from './provision-context.ts';
import { runCommand } from './run-command.ts';

const pom = join(projectDir, 'infra/debezium/pom.xml');
const folderOf = (paths: Paths): string => join(paths.cache, `kafka-connect-${sha256Hex(readFileSync(pom)).slice(0, 12)}`);

/** One class path for the broker and for Kafka Connect with Debezium. */
export async function javaClassPath(paths: Paths): Promise<string> {
  const folder = folderOf(paths);
  return (await readdir(folder))
    .filter((name) => name.endsWith('.jar'))
    .sort()
    .map((name) => join(folder, name))
    .join(':');
}

export const kafkaProvisioner: Provisioner = {
  name: 'Kafka, Connect and Debezium',
  version: '1',
  ready: async ({ paths }) => isComplete(folderOf(paths)),
  provision: async (context) => {
    await buildCacheEntry(context, folderOf(context.paths), async (folder) => {
      context.report('fetching jars');
      await runCommand('mvn', ['-B', '-q', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`], {
        signal: context.signal,
      });
    });
  },
};
