import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { textOf } from '../../catalog/contract.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { type JobRow, trainJob } from '../../test/support/train-job.ts';
import { judge } from '../support/figures.ts';
import { measuring, runPeer, trainingPeers, usageOf } from './peers.ts';
import { businessModel, dataSet, requiredDataDir } from './inputs.ts';

// Eight rows of each label: our head against TF-IDF and logistic regression, on whole test sets, and what such a training takes.
// `MW_DATA_DIR=... node bench/training/few-shot.ts [SET..] [--seeds 3]`. Each seed draws other rows. CrossWOZ: the utterances with exactly one label.

const perLabel = 8;
const { values, positionals } = parseArgs({ allowPositionals: true, options: { seeds: { type: 'string', default: '3' } } });
const seeds = Number(values.seeds);
const names = positionals.length > 0 ? positionals : ['banking77', 'clinc150', 'snips-intents', 'crosswoz-labels'];
const dataDir = requiredDataDir();
const paths = resolvePaths(process.env);
const model = await businessModel('text-classification');

const rank = (row: JobRow, seed: number): string => sha256Hex(`${seed} ${row.id}`);

/** So many rows of each label by chance; labels with fewer are left out, on both sides. */
function drawn(rows: readonly JobRow[], seed: number): { readonly train: JobRow[]; readonly test: JobRow[] } {
  const byLabel = Map.groupBy(
    rows.filter(({ split }) => split === 'train'),
    (row) => textOf(row, 'label'),
  );
  const labels = [...byLabel].filter(([, of]) => of.length >= perLabel);
  const train = labels.flatMap(([, of]) => of.toSorted((a, b) => (rank(a, seed) < rank(b, seed) ? -1 : 1)).slice(0, perLabel));
  const known = new Set(labels.map(([label]) => label));
  return { train, test: rows.filter((row) => row.split === 'evaluation' && known.has(textOf(row, 'label'))) };
}
const oneLabel = (row: JobRow): JobRow[] => {
  const labels = row['labels'];
  return Array.isArray(labels)
    ? labels.length === 1
      ? [{ id: row.id, split: row.split, text: row['text'] ?? '', label: String(labels[0]) }]
      : []
    : [row];
};

const python = await trainingPeers(paths);
const folder = await mkdtemp(join(tmpdir(), 'mw-few-'));
const gains: number[] = [];
const percent = (values: readonly number[]): string => ((100 * values.reduce((sum, one) => sum + one, 0)) / values.length).toFixed(1);
console.log(
  `| data set | labels | test rows | head % | TF-IDF % | gain | job from nothing kept, wall s (CPU s), rows |\n|---|---|---|---|---|---|---|`,
);
try {
  for (const name of names) {
    const set = dataSet(name);
    const encoderFolder = join(paths.modelsDir, set.encoder);
    const all = set
      .rows(dataDir)
      .flatMap(oneLabel)
      .filter(({ label }) => label !== 'oos');
    const [ours, theirs]: [number[], number[]] = [[], []];
    let size = '';
    let took = '';
    for (let seed = 1; seed <= seeds; seed++) {
      const { train, test } = drawn(all, seed);
      const job = { paths, model, encoderFolder, options: {}, threads: 2, seed };
      const usage = join(folder, `${name}-${seed}.usage`);
      if (seed === 1) {
        // As a tenant has it: a fifth of the rows are evaluation rows, and no text is known.
        const asked = test.filter((_, i) => i % Math.ceil(test.length / (train.length / 4)) === 0);
        const rows = [...train, ...asked];
        await trainJob({
          ...job,
          folder: join(folder, `${name}-timed`),
          rows,
          cacheDir: join(folder, 'empty', name),
          through: measuring(usage),
        });
        const { wallS, cpuS } = await usageOf(usage);
        took = `${wallS.toFixed(1)} (${cpuS.toFixed(1)}), ${rows.length}`;
      }
      const trained = await trainJob({
        ...job,
        folder: join(folder, `${name}-${seed}`),
        rows: [...train, ...test],
        cacheDir: join(folder, 'cache'),
      });
      ours.push(model.evaluation.measure(trained.answers).values['accuracy'] ?? NaN);
      const task = { way: 'tfidf', train, test, encoder: '', epochs: 0, rate: 0, batch: 0, seed, threads: 2 } as const;
      // Chinese has no spaces between words.
      const analyzer = name.startsWith('crosswoz') ? 'char' : 'word';
      theirs.push((await runPeer(python, join(folder, `${name}-${seed}-peer`), { ...task, analyzer })).accuracy);
      size = `${train.length / perLabel} | ${test.length}`;
    }
    const gain = ours.reduce((sum, one, i) => sum + one - (theirs[i] ?? NaN), 0) / ours.length;
    gains.push(gain);
    console.log(`| ${name} | ${size} | ${percent(ours)} | ${percent(theirs)} | ${percent([gain])} | ${took} |`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
const average = gains.reduce((sum, gain) => sum + gain, 0) / gains.length;
judge([{ what: `${percent([average])} points above TF-IDF and logistic regression on average, at least 8`, holds: average >= 0.08 }]);
