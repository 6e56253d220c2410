import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSets } from '../bench/training/sets.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { type Answer, textOf } from '../catalog/contract.ts';
import type { Page, Predictions, Run } from '../cli/api-types.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant } from './support/live-tenant.ts';
import type { JobRow } from './support/train-job.ts';

const dataDir = process.env['MW_DATA_DIR'];
const catalog = await loadCatalog();
let stack: TestStack;
let pool: Pool;

/** Rows of a data set in small, and the least that is learned from so few. The figures of whole sets: docs/05-models.md. */
const small = [
  { set: 'snips-intents', labels: 7, train: 210, held: 60, floor: 0.85, options: {} },
  { set: 'crosswoz-labels', labels: 99, train: 400, held: 60, floor: 0.5, options: {} },
  { set: 'snips-slots', labels: 99, train: 500, held: 60, floor: 0.3, options: {} },
  { set: 'banking77-faq', labels: 12, train: 240, held: 60, floor: 0.75, options: {} },
  // With an encoder of its own.
  { set: 'sentiment-scores', labels: 99, train: 400, held: 100, floor: 0.4, options: { method: 'full', epochs: 1 } },
] as const;

/** The first rows of the first labels, each side in the order of the set. */
function rowsOf(rows: readonly JobRow[], labels: number, train: number, held: number): JobRow[] {
  const labelOf = (row: JobRow): string => textOf(row, 'label') || textOf(row, 'answerId');
  const known = new Set([...new Set(rows.map(labelOf))].slice(0, labels));
  const of = (split: JobRow['split'], count: number): JobRow[] => {
    const side = rows.filter((row) => row.split === split && known.has(labelOf(row)));
    // Sets lie label by label: from each its share.
    return side.filter((_, i) => Math.floor((i * count) / side.length) !== Math.floor(((i - 1) * count) / side.length));
  };
  return [...of('train', train), ...of('evaluation', held)];
}

describe.skipIf(dataDir === undefined)('on real data (where MW_DATA_DIR has them)', () => {
  beforeAll(async () => {
    stack = await startTestStack({ engines: engineNames, services: serviceNames });
    pool = createPool(stack.config, { connectionLimit: 2 });
  });
  afterAll(async () => {
    await pool?.end();
    await stack?.remove();
  });

  it('has a data set for every business model that learns from rows of one', () => {
    const shipped = [...catalog.keys()].filter((id) => id !== 'causal-lm-sft').sort();
    const tried = small.map(({ set }) => dataSets.find(({ name }) => name === set)?.model ?? set);
    expect(tried.sort()).toEqual(shipped);
  });

  for (const { set, labels, train, held, floor, options } of small) {
    const { model: id, rows: read, encoder } = dataSets.find(({ name }) => name === set) ?? { model: '', rows: () => [], encoder: '' };
    it(`${id} goes from rows to answers that are as good as its gate was told (${set})`, { timeout: 300_000 }, async () => {
      const model = catalog.get(id);
      if (!model) throw new Error(`the catalogue lacks ${id}`);
      const rows = rowsOf(read(dataDir ?? ''), labels, train, held);
      const tenant = await LiveTenant.make(stack, pool, set, { quietPeriodMs: 0 }, { businessModel: id, options });
      const { api } = tenant;
      const base = `/v1/customizations/${tenant.c}`;
      const receipt = await tenant.decided(await tenant.submit(rows));
      // So few rows leave rare labels unlearned: the gate holds, and a person who knows that promotes.
      expect(receipt.reason ?? 'v1 is on hold: - are recognised').toMatch(/v1 is on hold: .* are recognised/);
      if (receipt.reason !== null)
        await api.call('POST', `${base}/models/1:promote`, { force: true, reason: 'rare labels may come later' });
      const { items } = await api.call<Page<{ version: number; baseModel: { name: string } }>>('GET', `${base}/models`);
      expect(items.map(({ version, baseModel }) => ({ version, encoder: baseModel.name }))).toEqual([{ version: 1, encoder }]);
      const [run] = (await api.call<Page<Run & { metrics: { values: Record<string, number> } }>>('GET', `${base}/runs`)).items;
      const told = run?.metrics.values[model.metric] ?? 0;
      expect(told).toBeGreaterThanOrEqual(floor);

      // The gate times an own encoder where answers are given; a head costs what every head does.
      const { latency } = await api.call<{ latency?: { candidateMs: number } }>('GET', `${base}/runs/1/gate`);
      expect((latency?.candidateMs ?? 0) > 0).toBe('method' in options);

      const asked = rows.filter(({ split }) => split === 'evaluation');
      const inputs = asked.map((row) => Object.fromEntries(model.fields.input.map((field) => [field, row[field] ?? null])));
      const { version, outputs } = await api.call<Predictions>('POST', `${base}:predict`, { inputs });
      expect(version).toBe(1);
      const answers = asked.map((row, i) => ({
        expected: Object.fromEntries<Answer[string]>(model.fields.answer.map((field) => [field, row[field] ?? null])),
        predicted: outputs[i] as unknown as Answer,
      }));
      // Vectors of the trainer and of the predictor differ in the last bits: a row or two may fall on the other side of a threshold.
      expect(Math.abs((model.evaluation.measure(answers).values[model.metric] ?? 0) - told)).toBeLessThan(0.04);
    });
  }
});
