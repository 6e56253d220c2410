import { type SourceMapping, sourceName } from '../../../core/source-mapping.ts';
import { sourceDigest } from '../../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../../platform/mysql.ts';

/** One customization that maps a table, and what was told to its workflow about it. */
export type Mapping = {
  readonly tenantId: string;
  readonly customizationId: string;
  readonly source: SourceMapping;
  readonly digest: string;
  /** Digest of the mapping for which everything was compared after its capture had begun; null: for none. */
  readonly announced: string | null;
  readonly state: string | null;
  readonly detail: string | null;
};

type MappingRow = RowDataPacket & {
  tenant_id: string;
  customization_id: string;
  source: SourceMapping;
  announced: string | null;
  capture_state: string | null;
  detail: string | null;
};

export async function loadMappings(pool: Pool): Promise<Mapping[]> {
  const [rows] = await pool.query<MappingRow[]>(
    `SELECT c.tenant_id, c.customization_id, c.source, k.source_digest AS announced, k.state AS capture_state, k.detail
     FROM modelwright.customizations c
     LEFT JOIN modelwright_control.source_capture k ON k.tenant_id = c.tenant_id AND k.customization_id = c.customization_id
     WHERE c.source IS NOT NULL ORDER BY c.tenant_id, c.customization_id`,
  );
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    customizationId: row.customization_id,
    source: row.source,
    digest: sourceDigest(row.source),
    announced: row.announced === '' ? null : row.announced,
    state: row.capture_state,
    detail: row.detail,
  }));
}

/** Mappings by table, as new as the last load. */
export class KnownMappings {
  readonly #pool: Pool;
  #byTable = new Map<string, Mapping[]>();

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** An event that was read before this call is judged by mappings that are at least as new as itself. */
  async refresh(): Promise<readonly Mapping[]> {
    const mappings = await loadMappings(this.#pool);
    this.#byTable = Map.groupBy(mappings, ({ source }) => sourceName(source));
    return mappings;
  }

  ofTable(database: string, table: string): readonly Mapping[] {
    return this.#byTable.get(sourceName({ database, table })) ?? [];
  }
}

/** Notes how far the capture of a mapping is. `announced` null leaves what was told before. Key: tenant, customization. */
export async function recordCapture(
  pool: Pool,
  { tenantId, customizationId, source }: Mapping,
  state: 'starting' | 'capturing' | 'failed',
  detail: string | null,
  announced: string | null,
): Promise<void> {
  await pool.query(
    `INSERT INTO modelwright_control.source_capture (tenant_id, customization_id, database_name, source_digest, state, detail)
     VALUES (?, ?, ?, ?, ?, ?) AS seen
     ON DUPLICATE KEY UPDATE database_name = seen.database_name, state = seen.state, detail = seen.detail,
       source_digest = IF(seen.source_digest = '', source_capture.source_digest, seen.source_digest), updated_at = UTC_TIMESTAMP(6)`,
    [tenantId, customizationId, source.database, announced ?? '', state, detail],
  );
}

/** A new position in the log: what was changed before it is unknown, so that everything of this database is compared again. */
export async function forgetCapture(pool: Pool, database: string): Promise<void> {
  await pool.query("UPDATE modelwright_control.source_capture SET source_digest = '', state = 'starting' WHERE database_name = ?", [
    database,
  ]);
}

export async function dropUnmapped(pool: Pool): Promise<void> {
  await pool.query(
    `DELETE FROM modelwright_control.source_capture WHERE NOT EXISTS (
       SELECT 1 FROM modelwright.customizations c
       WHERE c.tenant_id = source_capture.tenant_id AND c.customization_id = source_capture.customization_id AND c.source IS NOT NULL)`,
  );
}
