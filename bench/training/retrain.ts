import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { textOf } from '../../catalog/contract.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { type JobRow, trainJob } from '../../test/support/train-job.ts';
import { judge } from '../support/figures.ts';
import { measuring, type Usage, usageOf } from './peers.ts';
import { businessModel, dataSet, requiredDataDir } from './inputs.ts';

// A hundredth of a large tenant's rows changes: the training with kept embeddings against one that starts from nothing, on the same new rows.
// `MW_DATA_DIR=... node bench/training/retrain.ts [--rows 100000] [--first-only]`; with --first-only the first training of all, on the rows before the
// change, stands for the full one. The rows: the intents of three sets, and the training texts again with words of courtesy
// before or behind them until there are enough distinct ones.

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '100000' }, 'first-only': { type: 'boolean', default: false } },
});
const [rowsWanted, sameRows] = [Number(values.rows), !values['first-only']];
const dataDir = requiredDataDir();
const paths = resolvePaths(process.env);
const model = await businessModel('text-classification');
const encoderFolder = join(paths.modelsDir, 'all-MiniLM-L6-v2');

const real = ['banking77', 'clinc150', 'snips-intents'].flatMap((name) =>
  dataSet(name)
    .rows(dataDir)
    .filter(({ label }) => label !== 'oos')
    .map((row): JobRow => ({ ...row, id: `${name}-${row.id}`, label: `${name}/${textOf(row, 'label')}` })),
);
const courtesies = [
  (text: string) => text,
  (text: string) => `hello, ${text}`,
  (text: string) => `${text}, please`,
  (text: string) => `${text} - thanks`,
];
const test = real.filter(({ split }) => split === 'evaluation');
const learned = new Map<string, JobRow>();
courtesies.forEach((say, i) => {
  for (const row of real) {
    const text = say(textOf(row, 'text'));
    if (row.split === 'train' && !learned.has(text)) learned.set(text, { ...row, id: `${row.id}-${i}`, text });
  }
});
const changed = Math.round(rowsWanted / 100);
const train = [...learned.values()].slice(0, rowsWanted - test.length + changed);
if (train.length + test.length < rowsWanted + changed) throw new Error(`there are only ${train.length + test.length} distinct texts`);
// The rows that go are spread over all labels; as many texts that were never seen come.
const every = Math.floor((train.length - changed) / changed);
const before = [...train.slice(0, train.length - changed), ...test];
const after = [...train.filter((_, i) => i >= train.length - changed || i % every !== 0 || i / every >= changed), ...test];

const folder = await mkdtemp(join(tmpdir(), 'mw-retrain-'));
async function job(name: string, rows: readonly JobRow[], cache: string): Promise<Usage & { readonly accuracy: number }> {
  const usage = join(folder, `${name}.usage`);
  const task = { paths, folder: join(folder, name), model, encoderFolder, rows, options: {}, cacheDir: join(folder, cache) };
  const trained = await trainJob({ ...task, through: measuring(usage) });
  const accuracy = model.evaluation.measure(trained.answers).values['accuracy'] ?? NaN;
  const took = await usageOf(usage);
  console.log(
    `${name}: ${rows.length} rows, ${took.wallS.toFixed(1)} s, ${took.cpuS.toFixed(1)} CPU s, ${took.peakMiB.toFixed(0)} MiB, accuracy ${(100 * accuracy).toFixed(2)} %`,
  );
  return { ...took, accuracy };
}
try {
  console.log(`${before.length} rows, ${test.length} of them evaluation; ${changed} rows go, ${changed} others come`);
  const first = await job('first training', before, 'kept');
  const retrain = await job('retrain', after, 'kept');
  const full = sameRows ? await job('full training', after, 'empty') : first;
  const apart = Math.abs(retrain.accuracy - full.accuracy);
  judge([
    {
      what: `a retrain takes 1/${(full.cpuS / retrain.cpuS).toFixed(1)} of the CPU time of a full training, at most 1/20`,
      holds: retrain.cpuS * 20 <= full.cpuS,
    },
    { what: `the accuracies are ${(100 * apart).toFixed(2)} points apart, at most 0.3`, holds: apart <= 0.003 },
  ]);
} finally {
  await rm(folder, { recursive: true, force: true });
}
