import { spawn } from 'node:child_process';
import { join } from 'node:path';

// Every part of the benchmark of sensing, one after the other: `npm run bench:sensing`.
const parts = ['drain', 'latency', 'digests', 'large-transaction', 'restart', 'idle'];
for (const part of parts) {
  console.log(`\n== ${part}`);
  const args = ['--disable-warning=TimeoutNegativeWarning', join(import.meta.dirname, `${part}.ts`)];
  const code = await new Promise((resolve) => spawn(process.execPath, args, { stdio: 'inherit' }).on('close', resolve));
  if (code !== 0) process.exitCode = 1;
}
