import { createPool } from '../../platform/mysql.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { LiveTenant } from '../../test/support/live-tenant.ts';
import { engineNames, serviceNames } from '../../core/process-names.ts';
import { textOf } from '../../catalog/contract.ts';
import { judge, median } from '../support/figures.ts';
import { dataSet, requiredDataDir } from './inputs.ts';

// From the commit of 8 rows a class to the version that serves them, through the whole stack, without a quiet period:
// `MW_DATA_DIR=... node bench/training/commit-to-serving.ts [SET] [TENANTS]`.

const limitMs = 10_000;
const [name = 'banking77', tenants = '5'] = process.argv.slice(2);
const dataDir = requiredDataDir();
const set = dataSet(name);

/** Of each label so many rows to learn and to be judged by, pinned: a split by chance leaves some labels with hardly any. */
const wanted = { train: 8, evaluation: 2 } as const;
const perLabel = new Map<string, Record<'train' | 'evaluation', object[]>>();
for (const row of set.rows(dataDir)) {
  const label = textOf(row, 'label');
  const of = perLabel.get(label) ?? { train: [], evaluation: [] };
  if (of[row.split].length < wanted[row.split]) of[row.split].push(row);
  perLabel.set(label, of);
}
const rows = [...perLabel.values()].flatMap(({ train, evaluation }) => [...train, ...evaluation]);

const stack = await startTestStack({ engines: engineNames, services: serviceNames });
const pool = createPool(stack.config, { connectionLimit: 2 });
try {
  const totals: number[] = [];
  for (let i = 0; i < Number(tenants); i++) {
    const tenant = await LiveTenant.make(stack, pool, `tenant-${i}`, { quietPeriodMs: 0 });
    const receipt = await tenant.served(await tenant.submit(rows));
    const at = receipt.stations.map(({ name: station, at: time }) => [station, Date.parse(String(time))] as const);
    const first = at[0]?.[1] ?? NaN;
    console.log(`tenant ${i}: ${at.map(([station, time]) => `${station} ${((time - first) / 1_000).toFixed(1)} s`).join(', ')}`);
    totals.push((at.at(-1)?.[1] ?? NaN) - first);
  }
  const middle = median(totals);
  console.log(
    `${rows.length} rows of ${perLabel.size} labels, commit to serving: median ${(middle / 1_000).toFixed(1)} s, most ${(Math.max(...totals) / 1_000).toFixed(1)} s`,
  );
  judge([{ what: `at most ${limitMs / 1_000} s: ${(middle / 1_000).toFixed(1)}`, holds: middle <= limitMs }]);
} finally {
  await pool.end();
  await stack.remove();
}
