import type { SourceCapture } from '../../../infra/debezium/source-connector.ts';
import type { Mapping } from './mappings.ts';

/** Columns of the primary key of a mapped table; none where they are not known. */
export type PrimaryKeyOf = (database: string, table: string) => readonly string[];

/** One connector a database: its mapped tables, and of each the columns that its key, its ids and its filters need. Sorted, so that equal needs look equal. */
export function plannedCaptures(mappings: readonly Mapping[], primaryKeyOf: PrimaryKeyOf): SourceCapture[] {
  const byDatabase = Map.groupBy(mappings, ({ source }) => source.database);
  return [...byDatabase]
    .map(([database, ofDatabase]) => ({
      database,
      tables: [...Map.groupBy(ofDatabase, ({ source }) => source.table)]
        .map(([table, ofTable]) => ({
          table,
          columns: [
            ...new Set([
              ...primaryKeyOf(database, table),
              ...ofTable.flatMap(({ source: { columns, filter } }) => [columns.id, ...(filter ? [filter.column] : [])]),
            ]),
          ].sort(),
        }))
        .sort((a, b) => (a.table < b.table ? -1 : 1)),
    }))
    .sort((a, b) => (a.database < b.database ? -1 : 1));
}
