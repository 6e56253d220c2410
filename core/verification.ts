/** What a comparison of a customization's table with its last dataset came to (invariants I1 and I2). Ids and digests, never row text. */
export type VerificationResult = {
  /** Table and dataset are equal, or what differs is known to be on its way. */
  readonly ok: boolean;
  /** `equal`, or why not; `stalled`: nobody knows yet, because the log is not sensed as far as the table was read. */
  readonly verdict: 'equal' | 'on_its_way' | 'stalled' | 'violated';
  readonly tenantId: string;
  readonly customizationId: string;
  /** ISO 8601, UTC. */
  readonly verifiedAt: string;
  readonly table: {
    readonly rows: number;
    /** Merkle root of the rows as a dataset would hold them. */
    readonly digest: string;
    /** Rows that no dataset can hold; the readiness says why. */
    readonly excluded: number;
    /** GTID set of the snapshot that was read. */
    readonly cut: string;
  };
  /** Of the bytes that are stored, not of what a manifest says. `number` null: there is no dataset yet. */
  readonly dataset: { readonly number: number | null; readonly rows: number; readonly digest: string; readonly cut: string };
  readonly counts: { readonly missing: number; readonly extra: number; readonly changed: number; readonly unexplained: number };
  /** Example ids in the table and not in the dataset, in the dataset and not in the table, in both but different: the first of each. */
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  readonly changed: readonly string[];
  /** Those among them that nothing explains. */
  readonly unexplained: readonly string[];
  /** Stored buckets whose bytes are not what the manifest says. */
  readonly damaged: readonly { readonly bucket: number; readonly detail: string; readonly repaired: boolean }[];
  /** Sentences for people. */
  readonly explanation: string | null;
  readonly I1: Fact;
  readonly I2: Fact;
  /** What was done about it. */
  readonly healing: string | null;
};

export type Fact = { readonly holds: boolean; readonly detail: string };

/** What `verifyAll` found. */
export type VerificationTotals = {
  readonly verified: number;
  readonly ok: number;
  readonly violated: number;
  readonly stalled: number;
  /** Comparisons that could not be made. */
  readonly failed: number;
};
