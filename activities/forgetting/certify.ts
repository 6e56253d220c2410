import type { ForgettingKey } from '../../core/forgetting.ts';
import { nowMs } from '../../platform/clock.ts';
import type { SourceMapping } from '../../core/source-mapping.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { exampleDigest, signCertificate } from '../../store/forgetting-certificate.ts';
import type { ForgettingActivities } from '../ports.ts';
import { audit } from '../registry/audit.ts';
import { inTransaction } from '../registry/database.ts';
import type { ForgettingDependencies } from './forgetting-activities.ts';
import { idOf, loadForgetting, noteState, ofForgetting } from './forgettings.ts';
import { lockResidual, lockedObjects } from './locked-objects.ts';
import { runsOf } from './remove.ts';
import { residualsOf } from './residuals.ts';
import { searchStore } from './search.ts';

type SumRow = RowDataPacket & { objects: string; bytes: string };

/** Searches, and issues the certificate where nothing is left. From then on the ids and what finds the texts are gone too. */
export async function certifyForgetting(
  dependencies: ForgettingDependencies,
  { runs, ...key }: ForgettingKey & { readonly runs: number },
): ReturnType<ForgettingActivities['certifyForgetting']> {
  const { pool, signer, kept } = dependencies;
  const forgetting = await loadForgetting(pool, key);
  if (forgetting.certificate) return { waitsFor: [] };
  const { last } = await runsOf(pool, key);
  // What it began with may be what was removed meanwhile.
  if (last !== runs) return { waitsFor: [`run ${last} began meanwhile: what trainings keep is removed once more`] };
  const locked = await lockedObjects(pool, key);
  const { left, unsearchable, ...search } = await searchStore(dependencies, key, forgetting, locked.keys);
  if (left.length > 0 || unsearchable.length > 0) {
    const waitsFor = [...left.map((object) => `${object} still has one of the texts`), ...unsearchable];
    await noteState(pool, key, 'blocked', waitsFor);
    return { waitsFor };
  }
  const [sums] = await pool.query<SumRow[]>(
    `SELECT COUNT(*) AS objects, COALESCE(SUM(bytes), 0) AS bytes FROM modelwright_control.forgotten_objects
     WHERE ${ofForgetting} AND locked_until IS NULL`,
    idOf(key),
  );
  const issuedAtMs = nowMs();
  const certificate = signCertificate(
    {
      format: 'modelwright-forgetting/1',
      ...key,
      examples: {
        salt: forgetting.salt,
        digests: forgetting.exampleIds.map((id) => exampleDigest(forgetting.salt, id)).sort(),
      },
      askedBy: forgetting.askedBy,
      askedAt: forgetting.askedAt.toISOString(),
      deadlineAt: forgetting.deadlineAt.toISOString(),
      issuedAt: new Date(issuedAtMs).toISOString(),
      withdrawn: forgetting.withdrawn,
      removed: { objects: Number(sums[0]?.objects ?? 0), bytes: Number(sums[0]?.bytes ?? 0) },
      search,
      residuals: [
        ...lockResidual(locked),
        ...(await residualsOf(pool, kept, await sourceOf(pool, key), {
          deletedAtMs: forgetting.askedAt.getTime(),
          removedAtMs: issuedAtMs,
        })),
      ],
    },
    signer,
  );
  await inTransaction(pool, async (connection) => {
    // Of two that were issued, the first counts.
    const [result] = await connection.query(
      `UPDATE modelwright_control.forgettings SET state = 'done', waits_for = '[]', certificate = ?, ended_at = UTC_TIMESTAMP(6),
         example_ids = NULL, needles = NULL WHERE ${ofForgetting} AND ended_at IS NULL`,
      [JSON.stringify(certificate), ...idOf(key)],
    );
    if ((result as { affectedRows: number }).affectedRows === 1)
      await audit(connection, key.tenantId, forgetting.askedBy, 'forgetting.certify', {
        customizationId: key.customizationId,
        forgetting: key.number,
      });
  });
  return { waitsFor: [] };
}

/** The mapped table; null where the examples are kept here, or the customization is gone. */
async function sourceOf(pool: Pool, { tenantId, customizationId }: ForgettingKey): Promise<SourceMapping | null> {
  const [rows] = await pool.query<(RowDataPacket & { source: SourceMapping | null })[]>(
    'SELECT source FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ?',
    [tenantId, customizationId],
  );
  return rows[0]?.source ?? null;
}
