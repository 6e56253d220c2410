import type { BusinessModel } from '../../catalog/catalog.ts';
import { factsOf } from '../../catalog/example-facts.ts';
import type { DatasetBucket, DatasetManifest, DatasetRow } from '../../core/dataset.ts';
import type { GateDataFacts } from '../../core/model.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { readRows } from '../dataset/bucket-file.ts';
import { LeakedRows } from './leaked-rows.ts';
import { RelabelledRows } from './relabelled-rows.ts';

/** Ids that are kept of each list. */
const maxIds = 500;

type Reading = { readonly store: Pick<ObjectStore, 'read'>; readonly beat: () => void };

/** What the rows of a dataset say of its judgement, beside the dataset that production learned from. `golden`: ids that must stay right. */
export async function dataFacts(
  reading: Reading,
  model: BusinessModel,
  dataset: DatasetManifest,
  before: DatasetManifest | null,
): Promise<{ readonly data: GateDataFacts; readonly golden: ReadonlySet<string> }> {
  const { store, beat } = reading;
  const golden = new Set<string>();
  const leaks = new LeakedRows();
  let evaluationRows = 0;
  for (const side of ['evaluation', 'train'] as const) {
    for (const bucket of dataset.buckets) {
      beat();
      for (const row of await readRows(store, bucket)) {
        if (row.split !== side) continue;
        const { text } = factsOf(model, row);
        if (side === 'train') {
          if (text !== null) leaks.addTraining(text);
          continue;
        }
        evaluationRows += 1;
        if (row['golden'] === true) golden.add(row.id);
        if (text !== null) leaks.addEvaluation(row.id, text);
      }
    }
  }
  const leaked = { rows: leaks.ids.length, exampleIds: leaks.ids.slice(0, maxIds) };
  const data = { evaluationRows, leaked, labels: dataset.labels, before: before && (await compare(reading, model, dataset, before)) };
  return { data, golden };
}

/** Rows that are in both; a bucket that did not change is not read. */
async function compare(
  { store, beat }: Reading,
  model: BusinessModel,
  dataset: DatasetManifest,
  before: DatasetManifest,
): Promise<NonNullable<GateDataFacts['before']>> {
  const found = new RelabelledRows(model);
  // Buckets are ranges of ids, and their numbers are powers of two: those of the finer dataset that make up one of the coarser.
  const groups = Math.min(dataset.bucketCount, before.bucketCount);
  const of = ({ buckets, bucketCount }: DatasetManifest, group: number): readonly DatasetBucket[] =>
    buckets.slice((group * bucketCount) / groups, ((group + 1) * bucketCount) / groups);
  const read = async (buckets: readonly DatasetBucket[]): Promise<DatasetRow[]> => {
    const rows: DatasetRow[] = [];
    for (const bucket of buckets) rows.push(...(await readRows(store, bucket)));
    return rows;
  };
  for (let group = 0; group < groups; group++) {
    beat();
    const [was, is] = [of(before, group), of(dataset, group)];
    const [only] = is;
    if (only && is.length === 1 && was.length === 1 && was[0]?.digest === only.digest) found.addSame(only.rows, only.labels);
    else found.add(await read(was), await read(is));
  }
  return {
    number: before.number,
    labels: before.labels,
    compared: found.compared,
    relabelled: found.relabelled,
    relabelledLabels: found.labels,
  };
}
