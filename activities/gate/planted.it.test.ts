import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BusinessModel, loadCatalog } from '../../catalog/catalog.ts';
import { type Answer, textOf } from '../../catalog/contract.ts';
import { type DemoRow, readRows } from '../../cli/demo/demo-data.ts';
import type { DatasetManifest } from '../../core/dataset.ts';
import type { GateVerdict } from '../../core/model.ts';
import { demoDataFile } from '../../infra/local/demo-data.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { type JobRow, type Trained, servedAnswers, startExecutor, trainJob } from '../../test/support/train-job.ts';
import { rowShaper } from '../dataset/dataset-row.ts';
import { dataFacts } from './data-facts.ts';
import { judge } from './verdict.ts';

const paths = resolvePaths(process.env);
const encoderFolder = join(paths.modelsDir, 'all-MiniLM-L6-v2');
const catalog = await loadCatalog();
function classification(): BusinessModel {
  const found = catalog.get('text-classification');
  if (!found) throw new Error('the catalogue lacks text-classification');
  return found;
}
const model = classification();
let folder = '';
let trainer: ReturnType<typeof startExecutor>;

/** The first words tell the topic, and are embedded fast. */
const textChars = 250;
const rowsPerLabel = 70;
const spareRowsPerLabel = 25;
const seeds = [1, 2, 3, 4, 5];

/** An example as a tenant keeps it. */
type Example = DemoRow & { readonly split?: 'train' | 'evaluation' };
/** What becomes of the examples between production and candidate. */
type Change = { readonly name: string; readonly names?: readonly string[]; readonly examples: readonly Example[] };

const fractionOf = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;
/** In an order of the seed's own. */
const shuffled = <T extends { readonly id: string }>(rows: readonly T[], seed: number): T[] =>
  [...rows].sort((a, b) => fractionOf(`${seed} ${a.id}`) - fractionOf(`${seed} ${b.id}`));

/** The four bad kinds, in a form and a strength that depend on the seed. */
function plantedBad(examples: readonly Example[], labels: readonly string[], seed: number): Change[] {
  const victim = labels[seed % labels.length] ?? '';
  const other = labels[(seed + 1) % labels.length] ?? '';
  const ofVictim = shuffled(examples, seed).filter(({ label }) => label === victim);
  const chosen = shuffled(examples, seed + 100).slice(0, Math.round(examples.length * 0.3));
  const given = new Map(chosen.map(({ id }, i) => [id, chosen[(i + 1) % chosen.length]?.label ?? '']));
  const emptied = new Set(ofVictim.slice(0, Math.round(ofVictim.length * (seed % 2 === 0 ? 1 : 0.9))).map(({ id }) => id));
  const merged = new Set(ofVictim.slice(0, Math.round(ofVictim.length * 0.9)).map(({ id }) => id));
  const shape = rowShaper(model, `salt ${seed}`, 100_000);
  const sideOf = (example: Example): string | null => {
    const shaped = shape(example.id, example);
    return shaped.used ? shaped.row.split : null;
  };
  // From a quarter of the evaluation rows to all of them, in one of three ways.
  const asked = shuffled(examples, seed).filter((example) => sideOf(example) === 'evaluation');
  const copied = asked.slice(0, Math.round(asked.length * (0.25 + 0.15 * seed)));
  const leaks = copied.map(({ id, text, label }, i): Example => {
    const copy = [text, `  ${text.toUpperCase()} !`, `${text} Copied from the archive.`][i % 3] ?? text;
    return { id: `copy-${id}`, text: copy, label, split: 'train' };
  });
  return [
    {
      name: `30 % shuffled labels, seed ${seed}`,
      names: labels,
      examples: examples.map((example) => ({ ...example, label: given.get(example.id) ?? example.label })),
    },
    { name: `an emptied class, seed ${seed}`, names: [victim], examples: examples.filter(({ id }) => !emptied.has(id)) },
    { name: `test rows leaked into train, seed ${seed}`, examples: [...examples, ...leaks] },
    seed % 2 === 0
      ? {
          name: `a class that collapsed into another, seed ${seed}`,
          names: [victim],
          examples: examples.map((example) => (merged.has(example.id) ? { ...example, label: other } : example)),
        }
      : {
          name: `a class whose texts collapsed, seed ${seed}`,
          names: [victim],
          examples: examples.map((example) =>
            example.label === victim && sideOf(example) === 'train' ? { ...example, text: `n/a ${example.id}`, split: 'train' } : example,
          ),
        },
  ];
}

/** What tenants do every day. */
function good(examples: readonly Example[], spare: readonly Example[], labels: readonly string[], seed: number): Change[] {
  const order = shuffled(examples, seed + 200);
  const changed = (share: number): Set<string> => new Set(order.slice(0, Math.round(order.length * share)).map(({ id }) => id));
  const next = (label: string): string => labels[(labels.indexOf(label) + 1) % labels.length] ?? label;
  const [few, relabelled, edited] = [changed(0.05), changed(0.01), changed(0.1)];
  const added = shuffled(spare, seed);
  return [
    { name: `more rows, seed ${seed}`, examples: [...examples, ...added.slice(0, 30 * seed)] },
    { name: `a few deleted, a few added, seed ${seed}`, examples: [...examples.filter(({ id }) => !few.has(id)), ...added.slice(0, 10)] },
    {
      name: `1 % relabelled, seed ${seed}`,
      examples: examples.map((example) => (relabelled.has(example.id) ? { ...example, label: next(example.label) } : example)),
    },
    {
      name: `10 % of the texts edited and one label doubled, seed ${seed}`,
      examples: [
        ...examples.map((example) => (edited.has(example.id) ? { ...example, text: `${example.text.slice(20)} More follows.` } : example)),
        ...added.filter(({ label }) => label === labels[seed % labels.length]),
      ],
    },
  ];
}

/** A dataset as it is built: the same split and the same bucket file; one bucket. */
async function datasetOf(examples: readonly Example[], seed: number) {
  const shape = rowShaper(model, `salt ${seed}`, 100_000);
  const rows = [...examples]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ id, ...content }): JobRow => {
      const shaped = shape(id, content);
      if (!shaped.used) throw new Error(`${id}: ${shaped.reason}`);
      return shaped.row;
    });
  const labels: Record<string, { train: number; evaluation: number }> = {};
  for (const row of rows) (labels[textOf(row, 'label')] ??= { train: 0, evaluation: 0 })[row.split] += 1;
  const bytes = zstdCompressSync(
    rows
      .map(
        (row) => `${JSON.stringify(row)}
`,
      )
      .join(''),
  );
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const ref = { bucket: 'b', key: sha256, sha256, bytes: bytes.length };
  const manifest = { number: seed, bucketCount: 1, buckets: [{ index: 0, ref, rows: rows.length, digest: sha256, labels }], labels };
  return { rows, bytes, manifest: manifest as unknown as DatasetManifest };
}
type Dataset = Awaited<ReturnType<typeof datasetOf>>;

let trainings = 0;
const train = (rows: readonly JobRow[]): Promise<Trained> =>
  trainJob({
    paths,
    folder: join(folder, `job-${trainings++}`),
    model,
    encoderFolder,
    rows,
    options: { method: 'head', maxTokens: 48 },
    cacheDir: join(folder, 'cache'),
    threads: 1,
    executor: trainer.executor,
  });

/** Two at a time, in order. */
async function mapTwo<T, R>(items: readonly T[], map: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  await Promise.all(
    [1, 2].map(async () => {
      for (let next = queue.shift(); next; next = queue.shift()) results[next[0]] = await map(next[1]);
    }),
  );
  return results;
}

const accuracyOf = ({ answers }: Trained): number => model.evaluation.measure(answers).values['accuracy'] ?? 0;

/** Trains production of a seed and a candidate for every change, and lets the gate judge them. */
async function judged(seed: number, all: readonly Example[]): Promise<{ bad: [Change, GateVerdict][]; good: [Change, GateVerdict][] }> {
  const labels = [...new Set(all.map(({ label }) => label))].sort();
  const perLabel = labels.map((label) => shuffled(all, seed).filter((row) => row.label === label));
  const examples = perLabel.flatMap((rows) => rows.slice(0, rowsPerLabel));
  const spare = perLabel.flatMap((rows) => rows.slice(rowsPerLabel, rowsPerLabel + spareRowsPerLabel));
  const bad = plantedBad(examples, labels, seed);
  const changes = [...bad, ...good(examples, spare, labels, seed)];
  const before = await datasetOf(examples, seed);
  const after = await Promise.all(changes.map((change) => datasetOf(change.examples, seed)));
  const production = await train(before.rows);
  const candidates = await mapTwo(after, ({ rows }) => train(rows));

  // Production answers each text once, by the code that serves.
  const texts = [...new Set(after.flatMap(({ rows }) => rows.filter(({ split }) => split === 'evaluation').map((row) => textOf(row))))];
  const served = await servedAnswers(
    catalog,
    model,
    encoderFolder,
    production,
    texts.map((text) => ({ text })),
  );
  const answerOf = new Map(texts.map((text, i) => [text, served[i] ?? {}] as const));

  const verdicts: [Change, GateVerdict][] = [];
  for (const [i, change] of changes.entries()) {
    const [dataset, candidate] = [after[i], candidates[i]];
    if (!dataset || !candidate) throw new Error(change.name);
    verdicts.push([change, await verdictOn(before, dataset, production, candidate, answerOf)]);
  }
  return { bad: verdicts.slice(0, bad.length), good: verdicts.slice(bad.length) };
}

async function verdictOn(
  before: Dataset,
  after: Dataset,
  production: Trained,
  candidate: Trained,
  answerOf: ReadonlyMap<string, Answer>,
): Promise<GateVerdict> {
  const files = new Map([before, after].map(({ bytes, manifest }) => [manifest.buckets[0]?.ref.key, bytes] as const));
  const store = { read: (ref: { readonly key: string }) => Promise.resolve(files.get(ref.key) ?? Buffer.alloc(0)) };
  const facts = await dataFacts({ store, beat: () => {} }, model, after.manifest, before.manifest);
  const textById = new Map(after.rows.map((row) => [row.id, textOf(row)] as const));
  const rows = candidate.answers.map((row) => ({ ...row, current: answerOf.get(textById.get(row.id) ?? '') ?? {} }));
  return judge(rows, model, 1, {
    ...facts,
    modelBytes: (await stat(join(candidate.folder, 'staged.model.safetensors'))).size,
    published: { value: accuracyOf(production), rows: production.answers.length },
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-gate-'));
  trainer = startExecutor(paths, folder);
});
afterAll(async () => {
  await trainer.warm.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the gate, over models that were trained on real articles', () => {
  it('blocks all of 20 planted bad data sets and none of 20 good ones', { timeout: 900_000 }, async () => {
    const all = (await readRows(demoDataFile(paths))).map((row) => ({ ...row, text: row.text.slice(0, textChars) }));
    const bad: [Change, GateVerdict][] = [];
    const fine: [Change, GateVerdict][] = [];
    for (const seed of seeds) {
      const verdicts = await judged(seed, all);
      bad.push(...verdicts.bad);
      fine.push(...verdicts.good);
    }
    const line = ([{ name }, { verdict, explanation }]: readonly [Change, GateVerdict]): string => `${name}: ${verdict}, ${explanation}`;
    expect([bad.length, fine.length]).toEqual([20, 20]);
    expect(bad.filter(([, { verdict }]) => verdict === 'promote').map(line)).toEqual([]);
    expect(fine.filter(([, { verdict }]) => verdict !== 'promote').map(line)).toEqual([]);
    // The explanation names a label that was spoiled, wherever it is labels that were.
    const unnamed = bad.filter(([{ names }, { explanation }]) => names && !names.some((label) => explanation.includes(`"${label}"`)));
    expect(unnamed.map(line)).toEqual([]);
    // Leaked rows make a candidate look better: nothing but their texts tells.
    const leaks = bad.filter(([{ name }]) => name.includes('leaked'));
    expect(leaks.filter(([, { explanation }]) => !explanation.includes('were also learned')).map(line)).toEqual([]);
  });
});
