import type { Json } from '../../core/json.ts';
import type { ModelManifest, ModelTensor } from '../../core/model.ts';

type Tensor = { readonly name: string; readonly dtype: string; readonly shape: readonly number[]; readonly bytes: number };
export type ChangedTensor = { readonly name: string; readonly from: Omit<Tensor, 'name'>; readonly to: Omit<Tensor, 'name'> };
type Change = { readonly from: Json; readonly to: Json };

/** What one version has that another has not. `from` and `to` are what was and what is. */
export type ManifestDiff = {
  /** How tensors were compared: by their own digests or, where a manifest of format 1 has none, by those of their shards, which change together. */
  readonly comparedBy: 'tensor' | 'shard';
  readonly tensors: {
    readonly added: readonly Tensor[];
    readonly removed: readonly Tensor[];
    readonly changed: readonly ChangedTensor[];
    readonly unchanged: number;
  };
  readonly files: { readonly added: readonly string[]; readonly removed: readonly string[]; readonly changed: readonly string[] };
  readonly bytes: {
    /** Of tensors of `to` that are new or changed. */
    readonly tensors: number;
    /** Of shards and files of `to` that `from` does not have: what a pull into the other's folder fetches. */
    readonly fetched: number;
    readonly shared: number;
  };
  readonly labels: { readonly added: readonly string[]; readonly removed: readonly string[]; readonly reordered: boolean };
  readonly options: Readonly<Record<string, Change>>;
  readonly metrics: Readonly<Record<string, Change>>;
  /** What it was made from: dataset, base model, trainer, business model. */
  readonly origin: Readonly<Record<string, Change>>;
};

export function diffManifests(from: ModelManifest, to: ModelManifest): ManifestDiff {
  const digests = [from, to].every(({ tensors }) => Object.values(tensors).every(({ sha256 }) => sha256 !== undefined));
  const same = (a: ModelTensor, b: ModelTensor): boolean =>
    a.dtype === b.dtype && String(a.shape) === String(b.shape) && (digests ? a.sha256 === b.sha256 : a.shard === b.shard);
  const tensor = ({ dtype, shape, bytes }: ModelTensor) => ({ dtype, shape, bytes });
  const only = (these: ModelManifest, those: ModelManifest): Tensor[] =>
    Object.entries(these.tensors)
      .filter(([name]) => those.tensors[name] === undefined)
      .map(([name, one]) => ({ name, ...tensor(one) }))
      .sort(byName);
  const both = Object.entries(from.tensors).flatMap(([name, a]) => {
    const b = to.tensors[name];
    return b ? [{ name, a, b }] : [];
  });
  const changed = both.filter(({ a, b }) => !same(a, b)).sort(byName);
  const added = only(to, from);
  const had = new Set([...from.shards, ...from.files].map(({ sha256 }) => sha256));
  const parts = [...new Map([...to.shards, ...to.files].map((part) => [part.sha256, part.bytes]))];
  const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
  return {
    comparedBy: digests ? 'tensor' : 'shard',
    tensors: {
      added,
      removed: only(from, to),
      changed: changed.map(({ name, a, b }) => ({ name, from: tensor(a), to: tensor(b) })),
      unchanged: both.length - changed.length,
    },
    files: diffFiles(from.files, to.files),
    bytes: {
      tensors: sum([...added.map(({ bytes }) => bytes), ...changed.map(({ b }) => b.bytes)]),
      fetched: sum(parts.filter(([sha256]) => !had.has(sha256)).map(([, size]) => size)),
      shared: sum(parts.filter(([sha256]) => had.has(sha256)).map(([, size]) => size)),
    },
    labels: diffLabels(from.labels, to.labels),
    options: changes(from.options, to.options),
    metrics: changes(figures(from), figures(to)),
    origin: changes(origin(from), origin(to)),
  };
}

const byName = (a: { readonly name: string }, b: { readonly name: string }): number => (a.name < b.name ? -1 : 1);

function diffFiles(from: ModelManifest['files'], to: ModelManifest['files']): ManifestDiff['files'] {
  const before = new Map(from.map(({ path, sha256 }) => [path, sha256]));
  const after = new Map(to.map(({ path, sha256 }) => [path, sha256]));
  return {
    added: [...after.keys()].filter((path) => !before.has(path)).sort(),
    removed: [...before.keys()].filter((path) => !after.has(path)).sort(),
    changed: [...after]
      .filter(([path, sha256]) => before.has(path) && before.get(path) !== sha256)
      .map(([path]) => path)
      .sort(),
  };
}

function diffLabels(from: readonly string[], to: readonly string[]): ManifestDiff['labels'] {
  const [before, after] = [new Set(from), new Set(to)];
  const kept = (labels: readonly string[]): string => JSON.stringify(labels.filter((label) => before.has(label) && after.has(label)));
  return {
    added: to.filter((label) => !before.has(label)),
    removed: from.filter((label) => !after.has(label)),
    reordered: kept(from) !== kept(to),
  };
}

type Fields = { readonly [name: string]: Json };

function changes(from: Fields, to: Fields): Record<string, Change> {
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort();
  return Object.fromEntries(
    names
      .map((name) => [name, { from: from[name] ?? null, to: to[name] ?? null }] as const)
      .filter(([, change]) => JSON.stringify(change.from) !== JSON.stringify(change.to)),
  );
}

const figures = ({ metrics }: ModelManifest): Fields =>
  'values' in metrics ? metrics.values : { accuracy: metrics.accuracy, macroF1: metrics.macroF1 };

const origin = ({ dataset, encoder, trainerDigest, businessModel }: ModelManifest): Fields => ({
  dataset: dataset.number,
  rows: dataset.rows,
  baseModel: encoder.name,
  maxTokens: encoder.maxTokens,
  trainer: trainerDigest.slice(0, 12),
  businessModel: `${businessModel.id} ${businessModel.version}`,
});
