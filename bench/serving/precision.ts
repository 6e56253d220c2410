import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadCatalog } from '../../catalog/catalog.ts';
import type { Answer } from '../../catalog/contract.ts';
import { cpuMicroseconds } from '../../platform/cpu-time.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { createPredictor } from '../../predictor/predictor.ts';
import { trainServed } from './model.ts';
import { trainedStore } from './trained-store.ts';

// What 8-bit integers cost and save, on whole test sets: `MW_DATA_DIR=... node bench/serving/precision.ts [SET..] [--models FOLDER]`.

const { values, positionals } = parseArgs({ allowPositionals: true, options: { models: { type: 'string' } } });
const sets = positionals.length > 0 ? positionals : ['banking77', 'clinc150'];
/** Texts of one request. */
const batch = 64;

const paths = resolvePaths(process.env);
const catalog = await loadCatalog();
const model = catalog.get('text-classification');
if (!model) throw new Error('the catalogue lacks text-classification');
const folder = await mkdtemp(join(tmpdir(), 'mw-precision-'));
try {
  console.log(
    '| set | test rows | accuracy f32 | accuracy int8 | points | same label | CPU ms a text, alone: f32 / int8 | in requests of 64: f32 / int8 |',
  );
  console.log('|---|---|---|---|---|---|---|---|');
  for (const name of sets) {
    const { trained, rows } = await trainServed(paths, name, join(values.models ?? folder, name));
    const measure = async (precision: 'f32' | 'int8') => {
      const store = trainedStore(trained, model);
      const predictor = createPredictor({ store, catalog, cacheBytes: 1_073_741_824, threads: 1, precision, maxWaiting: 4_000 });
      const ask = async (inputs: readonly { readonly text: string }[]): Promise<readonly Answer[]> =>
        (await predictor.predict({ tenantId: 't', customizationId: 'c', version: 1, inputs: inputs.map(({ text }) => ({ text })) }))
          .outputs;
      await ask(rows.slice(0, batch));
      const cpuMs = async (work: () => Promise<void>, texts: number): Promise<number> => {
        const from = cpuMicroseconds();
        await work();
        return (cpuMicroseconds() - from) / 1_000 / texts;
      };
      const answers: Answer[] = [];
      const together = await cpuMs(async () => {
        for (let at = 0; at < rows.length; at += batch) answers.push(...(await ask(rows.slice(at, at + batch))));
      }, rows.length);
      const some = rows.slice(0, 500);
      const alone = await cpuMs(async () => {
        for (const row of some) await ask([row]);
      }, some.length);
      const judged = rows.map(({ label }, i) => ({ expected: { label }, predicted: answers[i] ?? {} }));
      return { answers, together, alone, accuracy: model.evaluation.measure(judged).values['accuracy'] ?? 0 };
    };
    const [f32, int8] = [await measure('f32'), await measure('int8')];
    const same = f32.answers.filter((answer, i) => answer['label'] === int8.answers[i]?.['label']).length / rows.length;
    const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
    const points = (100 * (int8.accuracy - f32.accuracy)).toFixed(2);
    const pair = (a: number, b: number): string => `${a.toFixed(2)} / ${b.toFixed(2)}`;
    console.log(
      `| ${name} | ${rows.length} | ${percent(f32.accuracy)} | ${percent(int8.accuracy)} | ${points} | ${percent(same)} | ${pair(f32.alone, int8.alone)} | ${pair(f32.together, int8.together)} |`,
    );
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
