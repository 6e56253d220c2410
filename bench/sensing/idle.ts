import { setTimeout as sleep } from 'node:timers/promises';
import { engineNames, serviceNames } from '../../core/process-names.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { judge, mebibytes } from '../support/figures.ts';
import { cpuMicroseconds, residentBytes } from '../support/process-usage.ts';

// (e) What the whole stack costs while nothing happens: `node bench/sensing/idle.ts [SECONDS]`.

const seconds = Number(process.argv[2] ?? 60);
const settleMs = 30_000;
/** Of one core. */
const limitPercent = 60;

const stack = await startTestStack({ engines: engineNames, services: serviceNames });
try {
  await sleep(settleMs);
  const processes = stack.status().processes.flatMap(({ name, pid }) => (pid === null ? [] : [{ name, pid, from: cpuMicroseconds(pid) }]));
  await sleep(seconds * 1_000);
  const used = processes.map(({ name, pid, from }) => ({
    name,
    percent: (cpuMicroseconds(pid) - from) / seconds / 10_000,
    resident: residentBytes(pid),
  }));
  for (const { name, percent, resident } of used.toSorted((a, b) => b.percent - a.percent))
    console.log(`${name.padEnd(18)} ${percent.toFixed(1).padStart(5)} % of a core  ${mebibytes(resident)}`);
  const total = used.reduce((sum, { percent }) => sum + percent, 0);
  const memory = used.reduce((sum, { resident }) => sum + resident, 0);
  console.log(`${'together'.padEnd(18)} ${total.toFixed(1).padStart(5)} % of a core  ${mebibytes(memory)}`);
  judge([{ what: `at most ${limitPercent} % of one core while nothing happens`, holds: total <= limitPercent }]);
} finally {
  await stack.remove();
}
