import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { textOf } from '../../catalog/contract.ts';
import { readRows } from '../../cli/demo/demo-data.ts';
import { demoDataFile } from '../../infra/local/demo-data.ts';
import type { Paths } from '../../platform/paths.ts';
import { type JobRow, trainJob } from '../../test/support/train-job.ts';
import { businessModel, dataSet } from '../training/inputs.ts';
import type { TrainedModel } from './trained-store.ts';

/** Every so many rows of the demo data are asked about. */
const askedOf = 5;

export type Served = { readonly trained: TrainedModel; readonly rows: readonly { readonly text: string; readonly label: string }[] };

/**
 * A head that the trainer makes of a set of MW_DATA_DIR, or of the demo data where there is none, and its test rows. A folder in which it was made
 * before is used again.
 */
export async function trainServed(paths: Paths, name: string, folder: string): Promise<Served> {
  const dataDir = process.env['MW_DATA_DIR'];
  const set = dataSet(name);
  const model = await businessModel('text-classification');
  const rows =
    dataDir !== undefined && existsSync(dataDir)
      ? set.rows(dataDir)
      : (await readRows(demoDataFile(paths))).map((row, i): JobRow => ({ ...row, split: i % askedOf === 0 ? 'evaluation' : 'train' }));
  const encoderFolder = join(paths.modelsDir, set.encoder);
  const options = { tier: 'fast', ...(name === 'clinc150' ? { outOfScopeLabel: 'oos' } : {}) };
  const made = await readFile(join(folder, 'result.json'), 'utf8').catch(() => null);
  const { labels, maxTokens } =
    made === null
      ? await trainJob({ paths, folder, model, encoderFolder, rows, options })
      : (JSON.parse(made) as Pick<TrainedModel, 'labels' | 'maxTokens'>);
  const asked = rows.filter(({ split }) => split === 'evaluation').map((row) => ({ text: textOf(row), label: textOf(row, 'label') }));
  return { trained: { folder, encoderFolder, labels, maxTokens }, rows: asked };
}
