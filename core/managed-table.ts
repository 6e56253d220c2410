/** Our own table of examples, which customizations without a source mapping read. */
export const managedTable = { database: 'modelwright', table: 'examples' } as const;

/** Our own tables whose changes the log tells of; the second is nobody's source. */
export const capturedTables: readonly string[] = [managedTable.table, 'customizations'];

/** Columns that reading it depends on. */
export const managedColumns = ['tenant_id', 'customization_id', 'example_id', 'bucket', 'content'] as const;
