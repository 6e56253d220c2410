import { type BusinessModel, loadCatalog } from '../../catalog/catalog.ts';
import { type DataSet, dataSets } from './sets.ts';

/** Where the data sets are: MW_DATA_DIR, without which nothing can be measured. */
export function requiredDataDir(): string {
  const dataDir = process.env['MW_DATA_DIR'];
  if (dataDir === undefined) throw new Error('set MW_DATA_DIR to the folder of the data sets');
  return dataDir;
}

export function dataSet(name: string): DataSet {
  const found = dataSets.find((set) => set.name === name);
  if (!found) throw new Error(`no such set: ${name}; there are ${dataSets.map((set) => set.name).join(', ')}`);
  return found;
}

export async function businessModel(id: string): Promise<BusinessModel> {
  const model = (await loadCatalog()).get(id);
  if (!model) throw new Error(`the catalogue lacks ${id}`);
  return model;
}
