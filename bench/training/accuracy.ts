import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadCatalog } from '../../catalog/catalog.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { trainJob } from '../../test/support/train-job.ts';
import { dataSets } from './sets.ts';
import { requiredDataDir } from './inputs.ts';

// Held-out accuracy on whole data sets, as a table: `MW_DATA_DIR=... node bench/training/accuracy.ts [SET..] [--tier accurate] [--options JSON]`.
// Each line is a training by the real trainer and a judgement by the business model's own evaluation. `--encoders FOLDER`: where the encoders are,
// if not where this machine keeps them.

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tier: { type: 'string', default: 'fast' }, options: { type: 'string', default: '{}' }, encoders: { type: 'string' } },
});
const dataDir = requiredDataDir();
const paths = resolvePaths(process.env);
const encoders = values.encoders ?? paths.modelsDir;
const catalog = await loadCatalog();
const options: Record<string, unknown> = { ...(JSON.parse(values.options) as Record<string, unknown>), tier: values.tier };
const unknown = positionals.filter((name) => !dataSets.some((set) => set.name === name));
if (unknown.length > 0) throw new Error(`no such set: ${unknown.join(', ')}; there are ${dataSets.map(({ name }) => name).join(', ')}`);

const percent = (value: number): string => (Math.abs(value) <= 1 ? (100 * value).toFixed(2) : value.toFixed(3));

console.log('| data set | business model | encoder | options | train / test rows | figures (x 100) | CPU s |');
console.log('|---|---|---|---|---|---|---|');
const folder = await mkdtemp(join(tmpdir(), 'mw-accuracy-'));
try {
  for (const set of dataSets.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
    const model = catalog.get(set.model);
    const encoderFolder = join(encoders, set.encoder);
    if (!model || !existsSync(encoderFolder)) {
      console.log(
        `| ${set.name} | ${set.model} | ${set.encoder} | not measured: ${model ? 'the encoder is not here' : 'no such business model'} | | | |`,
      );
      continue;
    }
    const rows = set.rows(dataDir);
    const own = set.name === 'clinc150' ? { ...options, outOfScopeLabel: 'oos' } : options;
    const trained = await trainJob({ paths, folder: join(folder, set.name), model, encoderFolder, rows, options: own });
    const figures = Object.entries(model.evaluation.measure(trained.answers).values).map(([name, value]) => `${name} ${percent(value)}`);
    const train = rows.filter(({ split }) => split === 'train').length;
    const shown = Object.entries(own).map(([name, value]) => `${name} ${String(value)}`);
    console.log(
      `| ${set.name} | ${set.model} | ${set.encoder} | ${shown.join(', ')} | ${train} / ${rows.length - train} | ${figures.join(', ')} | ${Math.round(trained.cpuMs / 1_000)} |`,
    );
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
