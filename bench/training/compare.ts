import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { resolvePaths } from '../../platform/paths.ts';
import { trainJob } from '../../test/support/train-job.ts';
import { measuring, type PeerResult, runPeer, trainingPeers, usageOf } from './peers.ts';
import { businessModel, dataSet, requiredDataDir } from './inputs.ts';

// Our fine-tuning against the Hugging Face Trainer: same rows, encoder, epochs, batch and learning rate, one after the other in turns, seed by seed.
// `MW_DATA_DIR=... node bench/training/compare.ts [--rows 2000] [--test 3080] [--seeds 1,2,3] [--epochs 3] [--ways ours-upper-half,trainer-grouped]`

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '2000' },
    test: { type: 'string', default: '3080' },
    seeds: { type: 'string', default: '1,2,3' },
    epochs: { type: 'string', default: '3' },
    rate: { type: 'string', default: '2e-4' },
    ways: { type: 'string', default: 'ours,ours-upper-half,trainer,trainer-grouped' },
  },
});
const dataDir = requiredDataDir();
const [epochs, rate, batch, threads] = [Number(values.epochs), Number(values.rate), 32, 2];
const paths = resolvePaths(process.env);
const model = await businessModel('text-classification');
const set = dataSet('banking77');
const encoder = join(paths.modelsDir, set.encoder);

/** Every n-th row: the set is sorted by its labels. */
function thinned<T>(rows: readonly T[], count: number): T[] {
  return rows.filter((_, i) => Math.floor(((i + 1) * count) / rows.length) > Math.floor((i * count) / rows.length));
}
const all = set.rows(dataDir);
const train = thinned(
  all.filter(({ split }) => split === 'train'),
  Number(values.rows),
);
const test = thinned(
  all.filter(({ split }) => split === 'evaluation'),
  Number(values.test),
);

const python = await trainingPeers(paths);
const folder = await mkdtemp(join(tmpdir(), 'mw-compare-'));
const shares: Readonly<Record<string, number>> = { ours: 1, 'ours-upper-half': 0.5, 'ours-upper-third': 0.33 };

async function ours(name: string, trainedShare: number, seed: number): Promise<PeerResult> {
  const usage = join(folder, `${name}.usage`);
  const options = { method: 'full', epochs, learningRate: rate, batchSize: batch, trainedShare };
  const rows = [...train, ...test];
  const job = { paths, folder: join(folder, name), model, encoderFolder: encoder, rows, options, threads, seed };
  const trained = await trainJob({ ...job, through: measuring(usage) });
  const [, wall = 'NaN', cpu = 'NaN'] = /steps in ([\d.]+) s, ([\d.]+) s of/.exec(trained.log) ?? [];
  const accuracy = model.evaluation.measure(trained.answers).values['accuracy'] ?? NaN;
  return { accuracy, loopWallS: Number(wall), loopCpuS: Number(cpu), ...(await usageOf(usage)) };
}

const found = new Map<string, PeerResult[]>();
console.log(
  `${train.length} training and ${test.length} test rows of BANKING77, ${epochs} epochs, batch ${batch}, rate ${rate}, ${threads} threads`,
);
try {
  for (const seed of values.seeds.split(',').map(Number)) {
    for (const way of values.ways.split(',')) {
      const share = shares[way];
      const name = `${way}-${seed}`;
      const task = { way: way as 'trainer', train, test, encoder, epochs, rate, batch, seed, threads };
      const result = share === undefined ? await runPeer(python, join(folder, name), task) : await ours(name, share, seed);
      found.set(way, [...(found.get(way) ?? []), result]);
      console.log(`seed ${seed} ${way}: ${JSON.stringify(result)}`);
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

const mean = (of: readonly PeerResult[], what: keyof PeerResult): number =>
  of.reduce((sum, one) => sum + (one[what] ?? NaN), 0) / of.length;
const first = [...found.values()][0] ?? [];
console.log(
  '\n| way | accuracy % | training CPU s | wall s | as fast as | whole job CPU s | wall s | peak MiB |\n|---|---|---|---|---|---|---|---|',
);
for (const [way, of] of found) {
  const cells = [
    way,
    (100 * mean(of, 'accuracy')).toFixed(2),
    mean(of, 'loopCpuS').toFixed(1),
    mean(of, 'loopWallS').toFixed(1),
    `${(mean(first, 'loopCpuS') / mean(of, 'loopCpuS')).toFixed(2)} of the first (CPU)`,
    mean(of, 'cpuS').toFixed(1),
    mean(of, 'wallS').toFixed(1),
    mean(of, 'peakMiB').toFixed(0),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
