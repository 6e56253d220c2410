import type { Json } from './json.ts';

/** Where a shard or file lies: `base` objects are stored once for all tenants. */
export type StoreScope = 'base' | 'tenant';

export type ModelShard = {
  readonly sha256: string;
  readonly bytes: number;
  readonly key: string;
  readonly scope: StoreScope;
};

export type ModelFile = {
  /** Path in a pulled folder, such as `tokenizer.json`. */
  readonly path: string;
  readonly role: 'config' | 'tokenizer' | 'encoder-onnx' | 'labels' | 'encoder-info';
  readonly sha256: string;
  readonly bytes: number;
  readonly key: string;
  readonly scope: StoreScope;
};

/** The manifest of a published model version: written last, create-only. */
export type ModelManifest = {
  readonly format: 'modelwright-model/1';
  readonly tenantId: string;
  readonly customizationId: string;
  readonly version: number;
  readonly run: number;
  readonly businessModel: { readonly id: string; readonly version: string };
  readonly dataset: { readonly number: number; readonly digest: string; readonly rows: number; readonly cut: string };
  readonly options: { readonly [name: string]: Json };
  readonly optionsDigest: string;
  readonly trainerDigest: string;
  readonly parent: number | null;
  readonly labels: readonly string[];
  readonly encoder: { readonly name: string; readonly dim: number; readonly maxTokens: number; readonly prefix: string };
  /** Tensor name -> shard and shape. */
  readonly tensors: Readonly<
    Record<string, { readonly shard: string; readonly dtype: string; readonly shape: readonly number[]; readonly bytes: number }>
  >;
  readonly shards: readonly ModelShard[];
  readonly files: readonly ModelFile[];
  readonly metrics: TrainingMetrics;
  readonly verdict: GateVerdict;
  readonly createdAt: string;
};

export type LabelMetrics = { readonly precision: number; readonly recall: number; readonly f1: number; readonly support: number };
export type TrainingMetrics = {
  readonly accuracy: number;
  readonly macroF1: number;
  readonly rows: { readonly train: number; readonly evaluation: number };
  readonly perLabel: Readonly<Record<string, LabelMetrics>>;
};

export type GateVerdict = {
  readonly verdict: 'promote' | 'hold' | 'reject';
  /** A sentence that names figures and labels. */
  readonly explanation: string;
  readonly metric: string;
  readonly candidate: number;
  readonly current: number | null;
  readonly currentVersion: number | null;
  /** Two-sided p of the paired (McNemar) test, null where there is nothing to pair with. */
  readonly pairedP: number | null;
  readonly testRows: number;
  readonly changedPredictions: number;
  readonly labels: Readonly<Record<string, { readonly candidate: number; readonly current: number | null; readonly support: number }>>;
};
