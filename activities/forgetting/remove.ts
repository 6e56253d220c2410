import type { ForgettingKey } from '../../core/forgetting.ts';
import { endedRunStates } from '../../core/run.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { digestOfKey, keptTenantPrefix, tenantPrefix } from '../../store/keys.ts';
import { sweepObjects } from '../store-care/sweep-tenant.ts';
import { type BeforeRemoval, listForSweep } from '../store-care/sweep.ts';
import { customizationsOf } from '../store-care/tenants.ts';
import type { ForgettingActivities } from '../ports.ts';
import type { ForgettingDependencies } from './forgetting-activities.ts';
import { idOf, loadForgetting, noteState } from './forgettings.ts';
import { noEnd } from './locked-objects.ts';

type RunRow = RowDataPacket & { number: number; state: string; paused: string | number };
type ManifestRow = RowDataPacket & { manifest_key: string; manifest_sha256: string };

/** What comes after this, and may take long: another worker removes what it keeps, then every object of the tenant is read. */
const searching = 'what trainings keep to be removed (the worker `training` does that), and the store to be searched';
const scope = 'tenant_id = ? AND customization_id = ?';

/** The last run of a customization, and sentences about those that go on: they may bring back what is removed now. */
export async function runsOf(
  pool: Pool,
  { tenantId, customizationId }: ForgettingKey,
): Promise<{ readonly last: number; readonly goingOn: readonly string[] }> {
  const [rows] = await pool.query<RunRow[]>(
    `SELECT number, state, paused IS NOT NULL AS paused FROM modelwright_control.runs WHERE ${scope} AND state NOT IN (?) ORDER BY number`,
    [tenantId, customizationId, endedRunStates],
  );
  const [last] = await pool.query<(RowDataPacket & { number: string })[]>(
    `SELECT COALESCE(MAX(number), 0) AS number FROM modelwright_control.runs WHERE ${scope}`,
    [tenantId, customizationId],
  );
  const goingOn = rows.map(
    ({ number, state, paused }) =>
      `run ${number} goes on (${state}): what trainings keep is removed when none does${Number(paused) === 1 ? '; it is paused, resume or cancel it' : ''}`,
  );
  return { last: Number(last[0]?.number ?? 0), goingOn };
}

/** Removes what nothing of the tenant refers to, without a grace; protected against live runs as every sweep is. */
export async function removeForgotten(
  dependencies: ForgettingDependencies,
  key: ForgettingKey,
): ReturnType<ForgettingActivities['removeForgotten']> {
  const { pool, store, beat } = dependencies;
  const { tenantId, customizationId } = key;
  const { exampleIds } = await loadForgetting(pool, key);
  await dropKeptAnswers(pool, key, exampleIds);
  const { last, goingOn } = await runsOf(pool, key);
  const roundId = `forget/${sha256Hex(idOf(key).join('/')).slice(0, 32)}`;
  // Uploads in parts hold weights, which a run that lives may be sending.
  const listed = await listForSweep(store, [tenantPrefix(tenantId), keptTenantPrefix(tenantId)], { graceMs: 0, leaveUploads: true, beat });
  const { deferred } = await sweepObjects(
    dependencies,
    { tenantId, roundId, dryRun: false },
    listed,
    await customizationsOf(pool, tenantId),
    new Map(),
    { customizationId, beforeRemoval: noting(pool, key) },
  );
  const waitsFor = [...goingOn, ...deferred];
  await noteState(pool, key, 'removing', waitsFor.length > 0 ? waitsFor : [searching]);
  return { waitsFor, runs: last };
}

/** An answer that is kept for a repeated request may show the example that it was about. */
async function dropKeptAnswers(pool: Pool, { tenantId }: ForgettingKey, ids: readonly string[]): Promise<void> {
  if (ids.length > 0)
    await pool.query(
      `UPDATE modelwright_control.idempotency_keys SET response = JSON_OBJECT('id', response->>'$.id', 'forgotten', TRUE)
       WHERE tenant_id = ? AND response->'$.createdAt' IS NOT NULL AND response->>'$.id' IN (?)`,
      [tenantId, ids],
    );
}

/** Notes objects before they go: for the certificate, and for predictors, which drop them from their caches. Key: forgetting + object. */
function noting(pool: Pool, key: ForgettingKey): BeforeRemoval {
  return async (objects, locked) => {
    const lockedUntil = (object: string): Date | null => {
      const untilMs = locked?.get(object);
      // A legal hold has no end that anybody knows.
      return untilMs === undefined ? null : untilMs === null ? noEnd : new Date(untilMs);
    };
    const [manifests] = await pool.query<ManifestRow[]>(
      'SELECT manifest_key, manifest_sha256 FROM modelwright_control.model_versions WHERE tenant_id = ? AND manifest_key IN (?)',
      [key.tenantId, objects.map((object) => object.key)],
    );
    const ofManifest = new Map(manifests.map(({ manifest_key, manifest_sha256 }) => [manifest_key, manifest_sha256]));
    await pool.query(
      `INSERT INTO modelwright_control.forgotten_objects (tenant_id, customization_id, number, object_key, sha256, bytes, locked_until)
       VALUES ? AS own ON DUPLICATE KEY UPDATE locked_until = own.locked_until`,
      [
        objects.map((object) => [
          ...idOf(key),
          object.key,
          ofManifest.get(object.key) ?? digestOfKey(object.key),
          object.bytes,
          lockedUntil(object.key),
        ]),
      ],
    );
  };
}
