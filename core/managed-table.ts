/** Our own table of examples, which customizations without a source mapping read. */
export const managedTable = { database: 'modelwright', table: 'examples' } as const;

/** Columns that reading it depends on. */
export const managedColumns = ['tenant_id', 'customization_id', 'example_id', 'bucket', 'content'] as const;
