/** Where a mapped customization's examples come from: a tenant's own MySQL table that the operator granted. */
export type SourceMapping = {
  readonly database: string;
  readonly table: string;
  /** Column of each example field; `id` is always there, the others are fields of the business model's example schema. */
  readonly columns: { readonly id: string } & { readonly [field: string]: string };
  /** Only rows whose column equals the value are the customization's; null: all rows. A grant may prescribe it. */
  readonly filter: { readonly column: string; readonly equals: string } | null;
};

/** `database.table`, as schema versions and connectors name it. */
export const sourceName = ({ database, table }: Pick<SourceMapping, 'database' | 'table'>): string => `${database}.${table}`;

/** Columns that a mapping depends on, each once. */
export const mappedColumns = ({ columns, filter }: Pick<SourceMapping, 'columns' | 'filter'>): string[] => [
  ...new Set([...Object.values(columns), ...(filter ? [filter.column] : [])]),
];
