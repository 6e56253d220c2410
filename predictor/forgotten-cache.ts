import { rm } from 'node:fs/promises';
import { keptRemovalDays } from '../core/forgetting.ts';
import { nowMs } from '../platform/clock.ts';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';
import type { CachedModelStore } from './model-store.ts';
import type { Predictor } from './predictor.ts';

/** Certificates of forgetting say that predictors need two minutes (activities/forgetting/residuals.ts). */
export const lookEveryMs = 30_000;
/** What was removed by the clock of the database this long before the last look is looked at again: its transaction may have ended later. */
const overlapSeconds = 600;

const dayMs = 86_400_000;

type ObjectRow = RowDataPacket & { sha256: string };
type VersionRow = RowDataPacket & { tenant_id: string; customization_id: string; version: number };
type NowRow = RowDataPacket & { now: Date };

/**
 * Drops what is forgotten from a predictor: withdrawn versions from its memory, their files from its disk. The first look goes back to the beginning,
 * for it may have been away; what it has had for longer than removals are on record goes too. Key: none; a repeated look finds nothing more.
 */
export function forgottenCache(
  pool: Pool,
  store: Pick<CachedModelStore, 'cachePath' | 'dropCachedBefore'>,
  predictor: Pick<Predictor, 'drop'>,
): () => Promise<void> {
  let since: Date | null = null;
  return async () => {
    // What was removed before this is not on record any more.
    if (since === null) await store.dropCachedBefore(nowMs() - keptRemovalDays * dayMs + dayMs);
    const [now] = await pool.query<NowRow[]>(`SELECT UTC_TIMESTAMP(6) - INTERVAL ${overlapSeconds} SECOND AS now`);
    const [versions] = await pool.query<VersionRow[]>(
      'SELECT tenant_id, customization_id, version FROM modelwright_control.model_versions WHERE withdrawn_at >= ?',
      [since ?? new Date(0)],
    );
    for (const { tenant_id: tenantId, customization_id: customizationId, version } of versions)
      predictor.drop({ tenantId, customizationId, version });
    const [objects] = await pool.query<ObjectRow[]>(
      'SELECT DISTINCT sha256 FROM modelwright_control.forgotten_objects WHERE sha256 IS NOT NULL AND removed_at >= ?',
      [since ?? new Date(0)],
    );
    for (const { sha256 } of objects) await rm(store.cachePath(sha256), { force: true });
    since = now[0]?.now ?? since;
  };
}
