/** What a DDL statement means for one customization (DESIGN.md section 4). */
export const schemaChangeKinds = [
  'column_added',
  'mapped_column_added',
  'type_widened',
  'type_narrowed',
  'charset_changed',
  'column_renamed',
  'column_dropped',
  'table_renamed',
  'table_truncated',
  'table_dropped',
  'other',
] as const;
export type SchemaChangeKind = (typeof schemaChangeKinds)[number];

export const schemaPolicies = ['hold', 'adopt', 'adopt_and_retrain', 'ignore'] as const;
export type SchemaPolicy = (typeof schemaPolicies)[number];

/** What the platform does about it: note it, build everything anew without a warm start, or freeze training until a person decides. */
export type SchemaEffect = 'recorded' | 'rebuild' | 'held';

/** What the signal `schemaChanged` tells the tenant workflow about one customization. Never DDL text or values. */
export type SchemaChange = {
  readonly customizationId: string;
  /** Business key: GTID (or log position) of the DDL and the table. Told twice, it counts once. */
  readonly changeId: string;
  readonly table: string;
  readonly kind: SchemaChangeKind;
  readonly effect: SchemaEffect;
  /** A sentence for people: what changed and what to do. Names columns, never contents. */
  readonly reason: string;
  readonly schemaVersion: number;
  readonly gtid: string;
  readonly atMs: number;
  /** With `rebuild`: a run is started although no row may differ (policy adopt_and_retrain). */
  readonly retrain?: boolean;
};

/** What freezes the training of a customization until a person answers. */
export type HeldSchema = Pick<SchemaChange, 'changeId' | 'kind' | 'table' | 'reason' | 'schemaVersion' | 'atMs'>;

/** Changes that a comparison of structures found before the log told of them: the log's own account replaces them. */
export const readChangePrefix = 'read/';

export const schemaActions = ['approve', 'remap', 'ignore'] as const;
export type SchemaAction = (typeof schemaActions)[number];

/** What became of a person's answer. */
export type SchemaDecided = {
  readonly changeIds: readonly string[];
  /** Everything is read and compared again. */
  readonly rebuild: boolean;
  readonly schemaVersion: number;
};

/** The person's answer to a held change: the update `approveSchema`. */
export type ApproveSchemaRequest = {
  readonly customizationId: string;
  /** The change that is answered; absent: the one that is held. */
  readonly changeId?: string;
  readonly action: SchemaAction;
  /** With `remap`: new columns (and table) of the mapping. */
  readonly columns?: { readonly [field: string]: string };
  readonly table?: string;
  readonly actor?: string;
  readonly reason?: string;
};
