import type { ForgettingKey } from '../../core/forgetting.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { audit } from '../registry/audit.ts';
import { inWatchedTransaction } from '../registry/database.ts';
import { idOf, loadForgetting, ofForgetting } from './forgettings.ts';

type VersionRow = RowDataPacket & { version: number; run_number: number; dataset_number: number; held: string | number };
type NumberRow = RowDataPacket & { number: number };

const scope = 'tenant_id = ? AND customization_id = ?';

/** Runs of these datasets: one that built its own may not have written so in its row yet. */
const learned = `(dataset_number IN (?) OR number IN (SELECT run_number FROM modelwright_control.datasets WHERE ${scope} AND number IN (?)))`;

export type Withdrawn = {
  /** Production, or the latest dataset, was among what went: the tenant's workflow must compare everything. */
  readonly compare: boolean;
};

/**
 * Takes every version and dataset that holds one of the rows from the registry, before a byte of it goes; what an operator holds stays. From then on
 * no reader is given it, nothing is promoted to it and no run publishes what it has learned from it. Key: forgetting; a repeated call finds the rest.
 */
export const withdrawForgotten = (pool: Pool, key: ForgettingKey): Promise<Withdrawn> =>
  inWatchedTransaction(pool, async (connection) => {
    const { tenantId, customizationId, number } = key;
    const id = [tenantId, customizationId];
    // Promotions lock this row first, whatever they promote: they wait, and then see what was withdrawn.
    await connection.query(`SELECT number FROM modelwright_control.runs WHERE ${scope} ORDER BY number LIMIT 1 FOR UPDATE`, id);
    const forgetting = await loadForgetting(connection, key, 'FOR UPDATE');
    const holding = Object.entries(forgetting.datasets).flatMap(([dataset, holds]) => (holds ? [Number(dataset)] : []));
    if (holding.length === 0) return { compare: false };
    const [versions] = await connection.query<VersionRow[]>(
      `SELECT v.version, v.run_number, v.dataset_number, EXISTS (SELECT 1 FROM modelwright_control.model_holds h
         WHERE h.tenant_id = v.tenant_id AND h.customization_id = v.customization_id AND h.version = v.version) AS held
       FROM modelwright_control.model_versions v
       WHERE v.tenant_id = ? AND v.customization_id = ? AND v.removed_at IS NULL AND v.dataset_number IN (?) FOR UPDATE`,
      [...id, holding],
    );
    const held = new Set(versions.filter((row) => Number(row.held) === 1).map(({ dataset_number }) => dataset_number));
    const going = versions.filter((row) => Number(row.held) !== 1).map(({ version }) => version);
    const [present] = await connection.query<NumberRow[]>(
      `SELECT number FROM modelwright_control.datasets WHERE ${scope} AND removed_at IS NULL ORDER BY number FOR UPDATE`,
      id,
    );
    const datasets = present.map((row) => row.number).filter((one) => holding.includes(one) && !held.has(one));
    const [production] = await connection.query<(RowDataPacket & { version: number })[]>(
      `SELECT version FROM modelwright_control.aliases WHERE ${scope} AND alias = 'production' FOR UPDATE`,
      id,
    );
    if (going.length > 0) {
      await connection.query(
        `UPDATE modelwright_control.model_versions SET withdrawn_at = COALESCE(withdrawn_at, UTC_TIMESTAMP(6)), removed_at = UTC_TIMESTAMP(6)
         WHERE ${scope} AND version IN (?)`,
        [...id, going],
      );
      await connection.query(`DELETE FROM modelwright_control.aliases WHERE ${scope} AND version IN (?)`, [...id, going]);
    }
    if (datasets.length > 0) {
      await connection.query(`UPDATE modelwright_control.datasets SET removed_at = UTC_TIMESTAMP(6) WHERE ${scope} AND number IN (?)`, [
        ...id,
        datasets,
      ]);
      // What was trained from them may be trained again from rows that are left; the details of their judgements go.
      await connection.query(
        `DELETE FROM modelwright_control.effective_trainings WHERE ${scope} AND run_number IN (
           SELECT number FROM modelwright_control.runs WHERE ${scope} AND ${learned})`,
        [...id, ...id, datasets, ...id, datasets],
      );
      await connection.query(
        `UPDATE modelwright_control.runs SET verdict = JSON_REMOVE(verdict, '$.details') WHERE ${scope} AND ${learned} AND verdict IS NOT NULL`,
        [...id, datasets, ...id, datasets],
      );
    }
    if (going.length + datasets.length > 0)
      await audit(connection, tenantId, forgetting.askedBy, 'model.forget', {
        customizationId,
        forgetting: number,
        versions: going,
        datasets,
        reason: forgetting.reason,
      });
    const withdrawn = {
      versions: [...new Set([...forgetting.withdrawn.versions, ...going])].sort((a, b) => a - b),
      datasets: [...new Set([...forgetting.withdrawn.datasets, ...datasets])].sort((a, b) => a - b),
    };
    await connection.query(`UPDATE modelwright_control.forgettings SET withdrawn = ? WHERE ${ofForgetting}`, [
      JSON.stringify(withdrawn),
      ...idOf(key),
    ]);
    const latest = present.at(-1)?.number;
    return { compare: going.includes(production[0]?.version ?? 0) || (latest !== undefined && datasets.includes(latest)) };
  });
