import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import { projectDir } from '../../platform/paths.ts';

/** What decides how the trainer computes: its sources and the versions of its libraries. A change of it is a new training. */
export function sourceDigest(folder: string = join(projectDir, 'trainer')): string {
  const files = globSync(['modelwright_trainer/**/*.py', 'requirements.txt'], { cwd: folder }).sort();
  return sha256Hex(files.map((file) => `${file}\0${sha256Hex(readFileSync(join(folder, file)))}`).join('\n'));
}
