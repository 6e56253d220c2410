import type { Json } from './json.ts';
import type { ObjectRef } from './object-ref.ts';

/** Where a shard or file lies: `base` objects are stored once for all tenants. */
export type StoreScope = 'base' | 'tenant';

export type ModelShard = {
  readonly sha256: string;
  readonly bytes: number;
  readonly key: string;
  readonly scope: StoreScope;
  /** Names of tensors that it holds and this version has elsewhere, in a later shard. Absent where there are none. */
  readonly unused?: readonly string[];
};

export type ModelFile = {
  /** Path in a pulled folder, such as `tokenizer.json`. */
  readonly path: string;
  readonly role: 'config' | 'tokenizer' | 'encoder-onnx' | 'decoder-onnx' | 'labels' | 'encoder-info' | 'answering';
  readonly sha256: string;
  readonly bytes: number;
  readonly key: string;
  readonly scope: StoreScope;
};

export type ModelTensor = {
  /** SHA-256 of the shard that holds it. */
  readonly shard: string;
  /** Of safetensors: `F32`, `BF16`, and so on. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Where its bytes begin, from the start of the shard's file. Absent in manifests of format 1: the shard's header tells. */
  readonly offset?: number;
  /** Of the tensor's bytes alone. Absent in manifests of format 1. */
  readonly sha256?: string;
};

/** Ed25519 over the canonical JSON of the manifest without this field. */
export type ModelSignature = {
  /** The first 16 hex digits of the SHA-256 of the public key's 32 bytes. */
  readonly keyId: string;
  /** 64 bytes in base64. */
  readonly value: string;
};

/** Where the manifest of a version's base model lies, in formats from 3 on. */
export type BaseManifestRef = { readonly key: string; readonly sha256: string; readonly bytes: number };

/** What the versions on a base model have from it: stored once for all tenants, named by its SHA-256. */
export type BaseManifest = {
  readonly format: 'modelwright-base/1';
  /** Of the base model: `encoder.name` of the versions on it. */
  readonly name: string;
  readonly tensors: Readonly<Record<string, ModelTensor>>;
  /** No shard has `unused`: which tensors a version has elsewhere, its own manifest says. */
  readonly shards: readonly ModelShard[];
  readonly files: readonly ModelFile[];
};

type Without<T, K extends keyof T> = Omit<T, K> & Partial<Pick<T, K>>;

/** The manifest of a published model version, what it has from its base model included (`store/model-manifest.ts` puts it together). */
export type ModelManifest = {
  /** Format 1 has no digests and offsets of tensors, and no signature. Up to format 2 the stored manifest names everything itself. */
  readonly format: 'modelwright-model/1' | 'modelwright-model/2' | 'modelwright-model/3';
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
  /** By name. Only what is named here counts: a shard may hold more. */
  readonly tensors: Readonly<Record<string, ModelTensor>>;
  /** Older ones first: where several hold a tensor of one name, the last of them holds the one that counts. */
  readonly shards: readonly ModelShard[];
  readonly files: readonly ModelFile[];
  /** From format 3 on without figures of single labels, which would outweigh a small head: the registry has them, and `verdict.details` leads to them. */
  readonly metrics: Without<TrainingMetrics, 'perLabel'> | LegacyMetrics;
  readonly verdict: Without<GateVerdict, 'labels'>;
  readonly createdAt: string;
  readonly signature?: ModelSignature;
  /** Null for versions of before format 3. */
  readonly base: BaseManifestRef | null;
};

/**
 * A manifest as it is stored, create-only, after all that it names; this is what is signed. Where it has `base`, its tensors, shards and files are only those
 * that the version does not have from there.
 */
export type StoredManifest = Omit<ModelManifest, 'base'> & { readonly base?: BaseManifestRef };

export type LabelMetrics = { readonly precision: number; readonly recall: number; readonly f1: number; readonly support: number };
/** `share`: 0 to 1, shown in percent. */
export type MetricUnit = 'share' | 'number';

/** How good a model is on the evaluation rows, as its business model's evaluation computes it. */
export type TrainingMetrics = {
  /** The one of `values` that the gate goes by. */
  readonly metric: string;
  readonly unit: MetricUnit;
  readonly values: Readonly<Record<string, number>>;
  readonly rows: { readonly train: number; readonly evaluation: number };
  /** The labels with the worst F1, where there are very many. */
  readonly perLabel: Readonly<Record<string, LabelMetrics>>;
};
/** Metrics of runs and versions from before they had names. */
export type LegacyMetrics = Pick<TrainingMetrics, 'rows' | 'perLabel'> & { readonly accuracy: number; readonly macroF1: number };
export type StoredMetrics = TrainingMetrics | LegacyMetrics;

export type GateVerdict = {
  readonly verdict: 'promote' | 'hold' | 'reject';
  /** A sentence that names figures and labels. */
  readonly explanation: string;
  readonly metric: string;
  readonly candidate: number;
  readonly current: number | null;
  readonly currentVersion: number | null;
  /** Two-sided p of the paired test (McNemar where a row is right or wrong, else sign flips), null where there is nothing to pair with. */
  readonly pairedP: number | null;
  readonly testRows: number;
  readonly changedPredictions: number;
  /** Recall by label; the worst of the candidate, where there are very many. */
  readonly labels: Readonly<Record<string, { readonly candidate: number; readonly current: number | null; readonly support: number }>>;
  /** Confusions, worst errors and changed answers, by id: `GateDetails`. Absent in verdicts from before they were kept. */
  readonly details?: ObjectRef;
};

/** What operators want to see of a judgement. Ids, labels and figures, never a text. The lists hold the first of many. */
export type GateDetails = {
  readonly format: 'modelwright-gate/1';
  readonly metric: string;
  readonly candidate: Omit<TrainingMetrics, 'rows'>;
  readonly current: Omit<TrainingMetrics, 'rows'> | null;
  readonly currentVersion: number | null;
  /** How often the candidate gives `predicted` where `expected` is right; the most frequent first, right answers left out. */
  readonly confusions: readonly { readonly expected: string; readonly predicted: string; readonly rows: number }[];
  /** Rows of the lowest credit, and among them those that the candidate was surest of. */
  readonly worstErrors: readonly { readonly id: string; readonly credit: number; readonly score: number | null }[];
  /** Rows that production answers otherwise; those that became worse first. */
  readonly changed: readonly { readonly id: string; readonly candidate: number; readonly current: number }[];
  /** What the rows themselves say, and golden examples that are answered wrong. Absent in judgements from before they were looked at. */
  readonly data?: GateDataFacts;
  readonly goldenLost?: readonly string[];
  /** Absent where the encoder is the shared one, or could not be timed. */
  readonly latency?: GateLatency;
};

/** CPU time of one text of so many tokens in the encoder of a candidate, and in that of production. */
export type GateLatency = { readonly tokens: number; readonly candidateMs: number; readonly currentMs: number | null };

type RowsBySide = { readonly train: number; readonly evaluation: number };

/** What the gate sees in the rows that a candidate learned and is judged by. */
export type GateDataFacts = {
  readonly evaluationRows: number;
  /** Evaluation rows whose text, or nearly the same, is on the training side. */
  readonly leaked: { readonly rows: number; readonly exampleIds: readonly string[] };
  readonly labels: Readonly<Record<string, RowsBySide>>;
  /** The dataset that production learned from; null where there is none to compare with. */
  readonly before: {
    readonly number: number;
    readonly labels: Readonly<Record<string, RowsBySide>>;
    /** Rows that both have with the same text, and those of them with another answer; by the label that they had. */
    readonly compared: number;
    readonly relabelled: number;
    readonly relabelledLabels: Readonly<Record<string, { readonly rows: number; readonly relabelled: number }>>;
  } | null;
};
