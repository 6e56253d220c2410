import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** Every part of a benchmark, one after the other, each a file of the folder; the process ends with 1 if one of them does. */
export async function runParts(folder: string, parts: readonly string[]): Promise<void> {
  for (const part of parts) {
    console.log(`\n== ${part}`);
    const args = ['--disable-warning=TimeoutNegativeWarning', join(folder, `${part}.ts`)];
    const code = await new Promise((resolve) => spawn(process.execPath, args, { stdio: 'inherit' }).on('close', resolve));
    if (code !== 0) process.exitCode = 1;
  }
}
