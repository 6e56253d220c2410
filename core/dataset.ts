import type { ObjectRef } from './object-ref.ts';
import type { Json } from './json.ts';
import type { TableColumns } from './table-structure.ts';

export type Split = 'train' | 'evaluation';

/** One line of a bucket file: the example with its id and its split. The fields are those of its business model. */
export type DatasetRow = { readonly id: string; readonly split: Split } & { readonly [field: string]: Json };

/** Rows by language: codes of ISO 639, `und-Cyrl` and the like where only the script is known, `und` where nothing is. */
export type LanguageCounts = Readonly<Record<string, number>>;

/** The encoder that models of a dataset start from, and why it is this one. */
export type ChosenEncoder = {
  readonly name: string;
  /** Of the digests of its files. */
  readonly digest: string;
  /** Languages of the rows that it was chosen for, the commonest first. */
  readonly languages: readonly string[];
  readonly why: string;
};

export type DatasetBucket = {
  readonly index: number;
  /** zstd-compressed JSON Lines; rows by finest bucket (first byte of SHA-256 of the id), then by id. */
  readonly ref: ObjectRef;
  readonly rows: number;
  /** Merkle root (RFC 6962 hashing) over the roots of its finest buckets, and those over their rows' lines. */
  readonly digest: string;
  /** Rows that have the label: one row may have several, or none. */
  readonly labels: Readonly<Record<string, { readonly train: number; readonly evaluation: number }>>;
  /** Rows by side. Absent in datasets from before rows could have other than one label: the sum of the labels. */
  readonly counts?: { readonly train: number; readonly evaluation: number };
  /** Absent in datasets from before languages were counted. */
  readonly languages?: LanguageCounts;
};

/** The structure that a dataset was read with: the columns that its mapping uses. */
export type DatasetSchema = { readonly version: number; readonly digest: string; readonly columns: TableColumns };

export type DatasetManifest = {
  readonly format: 'modelwright-dataset/1';
  readonly tenantId: string;
  readonly customizationId: string;
  readonly businessModel: { readonly id: string; readonly version: string };
  /** The mapped table (`database.table`), the digest of the mapping, and one of each finest bucket; absent: examples that are kept here. */
  readonly source?: { readonly name: string; readonly digest: string; readonly fingerprints: readonly string[] };
  /** Absent in datasets from before structures were pinned. */
  readonly schema?: DatasetSchema;
  readonly number: number;
  readonly parent: number | null;
  /** GTID set of the consistent snapshot (core/gtid.ts): the dataset equals the table at exactly this set. */
  readonly cut: string;
  readonly bucketCount: number;
  readonly buckets: readonly DatasetBucket[];
  readonly rows: number;
  readonly counts: { readonly train: number; readonly evaluation: number };
  readonly labels: Readonly<Record<string, { readonly train: number; readonly evaluation: number }>>;
  /** Rows that the trainer cannot use, by bucket: field and what is wrong with it, how many, and some of their ids. */
  readonly exclusions: readonly {
    readonly bucket: number;
    readonly reason: string;
    readonly rows: number;
    readonly exampleIds: readonly string[];
  }[];
  /** Texts that carry two answers, and texts that occur more than once: counts and a few example ids, never text. */
  readonly conflicts: { readonly groups: number; readonly exampleIds: readonly string[] };
  readonly duplicates: { readonly rows: number; readonly exampleIds: readonly string[] };
  /** Absent, with `baseModel`, in datasets from before languages were counted: their models start from all-MiniLM-L6-v2, or from the option. */
  readonly languages?: LanguageCounts;
  readonly baseModel?: ChosenEncoder;
  readonly digest: string;
};

/** What travels in Temporal about a built dataset. */
export type DatasetRef = {
  readonly number: number;
  readonly digest: string;
  readonly rows: number;
  readonly cut: string;
  readonly manifest: ObjectRef;
  readonly bucketsRead: number;
  readonly bucketsReused: number;
};
