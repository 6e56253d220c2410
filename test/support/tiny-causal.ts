import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type resolvePaths, projectDir } from '../../platform/paths.ts';

/** A causal language model with random weights in Hugging Face layout, which is also what the trainer's own tests start from. */
export function makeCausalFolder(paths: ReturnType<typeof resolvePaths>, folder: string, kind: 'llama' | 'qwen2' = 'llama'): string {
  const { stderr, status } = spawnSync(paths.trainerPython, [join(projectDir, 'trainer/tests/tiny_causal.py'), folder, kind], {
    env: { ...process.env, PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1' },
  });
  if (status !== 0) throw new Error(stderr.toString());
  return folder;
}
