import { type SourceMapping, sourceName } from '../../core/source-mapping.ts';
import { fineBuckets } from '../../core/dirty-buckets.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { type PoolConnection, type RowDataPacket, streamRows } from '../../platform/mysql.ts';
import { type MappedTable, SourceUnreadable, openMappedTable } from '../../sources/mapped-table.ts';
import { quotedTable } from '../../sources/quoting.ts';
import { failure } from '../failure.ts';
import type { TrainingSettings } from '../registry/training-settings.ts';
import type { DatasetDependencies } from './dataset-activities.ts';

/** A row of the source; `problem`: why it is no example, before its content is looked at. */
export type SourceRow = { readonly id: string; readonly fine: number; readonly content: unknown; readonly problem: string | null };

/** A span of finest buckets, both ends included. */
export type FineRange = { readonly first: number; readonly last: number };

/** The rows of one customization on one connection, under its snapshot. */
export type RowReader = {
  readonly count: () => Promise<number>;
  /**
   * A digest of each finest bucket under the snapshot, where the server can make them in one pass. They decide what is read again: the order of
   * a mapped table's log and of the snapshot is not known, so that what was called dirty may not be all. Null: what was called dirty decides.
   */
  readonly fingerprints: () => Promise<readonly string[] | null>;
  /** Rows of ascending spans, by finest bucket and then by id. */
  readonly rows: (ranges: readonly FineRange[]) => AsyncIterable<SourceRow>;
};

/** Where a customization's rows are: our own table of examples, or a table that is mapped. */
export type RowSource = {
  /** What is read, `database.table`. */
  readonly name: string;
  /** The same for SQL: its writers are held up for an instant when the server is busy. */
  readonly table: string;
  /** Opens the source under the connection's snapshot. */
  readonly open: (connection: PoolConnection) => Promise<RowReader>;
};

export const rowSourceOf = (
  { maxTextChars }: Pick<DatasetDependencies, 'maxTextChars'>,
  key: CustomizationKey,
  settings: TrainingSettings,
): RowSource => (settings.source ? mappedSource(settings.source, settings, maxTextChars) : managedSource(key));

type ExampleRow = RowDataPacket & { example_id: string; bucket: number; content: unknown };

const managedSource = ({ tenantId, customizationId }: CustomizationKey): RowSource => ({
  name: 'modelwright.examples',
  table: 'modelwright.examples',
  open: (connection) =>
    Promise.resolve({
      async count() {
        const [rows] = await connection.query<(RowDataPacket & { total: string })[]>(
          'SELECT COUNT(*) AS total FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ?',
          [tenantId, customizationId],
        );
        return Number(rows[0]?.total ?? 0);
      },
      fingerprints: () => Promise.resolve(null),
      // One range of the primary key after the other.
      async *rows(ranges) {
        for (const { first, last } of ranges)
          for await (const { example_id: id, bucket: fine, content } of streamRows<ExampleRow>(
            connection,
            `SELECT example_id, bucket, content FROM modelwright.examples
             WHERE tenant_id = ? AND customization_id = ? AND bucket BETWEEN ? AND ? ORDER BY bucket, example_id`,
            [tenantId, customizationId, first, last],
          ))
            yield { id, fine, content, problem: null };
      },
    }),
});

const mappedSource = (mapping: SourceMapping, { model }: TrainingSettings, maxTextChars: number): RowSource => ({
  name: sourceName(mapping),
  table: quotedTable(mapping),
  open: (connection) =>
    withSource(mapping, async () => {
      const table: MappedTable = await openMappedTable(connection, mapping, model, maxTextChars);
      return {
        count: () => withSource(mapping, () => table.count(connection)),
        fingerprints: () => withSource(mapping, () => table.fingerprints(connection)),
        async *rows(ranges) {
          const fine = ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
          const found = table.buckets(connection, fine.length === fineBuckets ? null : fine);
          try {
            yield* found;
          } catch (error) {
            throw sourceFailure(mapping, error);
          }
        },
      };
    }),
});

async function withSource<T>(mapping: SourceMapping, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw sourceFailure(mapping, error);
  }
}

/** What its owner did to the table is told in a sentence; everything else goes on as it is. */
function sourceFailure(mapping: SourceMapping, error: unknown): unknown {
  const name = sourceName(mapping);
  if (error instanceof SourceUnreadable) return failure('InvalidData', error.message, error);
  switch ((error as { code?: string } | null)?.code) {
    case 'ER_TABLE_DEF_CHANGED':
      return failure('Unavailable', `the structure of ${name} was changed while it was read: read again`, error);
    case 'ER_NO_SUCH_TABLE':
    case 'ER_BAD_FIELD_ERROR':
      return failure('InvalidData', `${name} has lost the table or a column that is mapped: restore it, or map another`, error);
    case 'ER_TABLEACCESS_DENIED_ERROR':
    case 'ER_COLUMNACCESS_DENIED_ERROR':
      return failure('InvalidData', `our MySQL user may not read ${name} any more: GRANT SELECT on it again`, error);
    default:
      return error;
  }
}
