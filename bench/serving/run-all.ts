import { spawn } from 'node:child_process';
import { join } from 'node:path';

// Every part of the benchmark of serving, one after the other: `npm run bench:serving`.
for (const part of ['compare', 'precision', 'thousand-heads']) {
  console.log(`\n== ${part}`);
  const code = await new Promise((resolve) =>
    spawn(process.execPath, [join(import.meta.dirname, `${part}.ts`)], { stdio: 'inherit' }).on('close', resolve),
  );
  if (code !== 0) process.exitCode = 1;
}
