import type { Pool } from '../platform/mysql.ts';
import { nowMs } from '../platform/clock.ts';
import type { CustomizationStatus, TenantStatus } from '../core/tenant-messages.ts';
import { Problem } from './problems.ts';
import { type ReceiptPart, type Station, receiptPart, stationNames } from './receipt-part.ts';
import { commitRows, customizationRows, sensingRows } from './receipt-rows.ts';

export type Receipt = {
  readonly commit: string;
  readonly committedAt: string | null;
  readonly tables: readonly string[];
  readonly customizations: readonly string[];
  /** Of the whole commit: a station is reached when every customization that it touched has reached it. */
  readonly stations: readonly Station[];
  readonly version: number | null;
  readonly run: number | null;
  /** Why no version will learn the commit, or why its run ended without one; null while it is on its way and when it serves. */
  readonly reason: string | null;
  /** One a customization: a transaction may touch several. */
  readonly parts: readonly ReceiptPart[];
};

/** What a receipt is made from besides the tables. */
export type ReceiptSources = {
  readonly pool: Pool;
  /** What the tenant's workflow says; null where it does not answer. */
  readonly statusOf: (tenantId: string) => Promise<TenantStatus | null>;
};

/** Sensing takes milliseconds: a commit that waits longer than this has a reason. */
const lateMs = 5_000;

/** What became of a commit. `tenantId` null: the operator, who sees every tenant's part of it. */
export async function receiptOf({ pool, statusOf }: ReceiptSources, gtid: string, tenantId: string | null): Promise<Receipt> {
  const [{ own, sensed }, sensing] = await Promise.all([commitRows(pool, gtid, tenantId), sensingRows(pool, gtid)]);
  const operator = tenantId === null;
  // Details name connectors and tables, which are nobody's business but the operator's.
  const wrong = sensing.conditions.map(({ code, detail }) => (operator ? `${code}: ${detail}` : code)).join('; ');
  const keys = new Map(
    [...own, ...sensed].map((row) => [
      `${row.tenant_id}/${row.customization_id}`,
      { tenantId: row.tenant_id, customizationId: row.customization_id },
    ]),
  );
  if (keys.size === 0) {
    if (operator && sensing.executed) return unattributed(gtid, wrong);
    // The same words whether it is another tenant's, not sensed yet, or not there at all.
    throw new Problem(
      'not_found',
      `no commit ${gtid} of yours is known; one made by another program is known when it was sensed${wrong === '' ? '' : `, which waits: ${wrong}`}`,
    );
  }
  const statuses = new Map<string, TenantStatus | null>();
  const parts: ReceiptPart[] = [];
  for (const key of keys.values()) {
    const mine = (row: { tenant_id: string; customization_id: string }): boolean =>
      row.tenant_id === key.tenantId && row.customization_id === key.customizationId;
    const seen = sensed.find(mine) ?? null;
    const noted = own.find(mine) ?? null;
    const rows = await customizationRows(pool, key);
    const silentMs = noted ? nowMs() - noted.committed_at.getTime() : 0;
    const input = { gtid: (seen ?? noted)?.gtid ?? gtid, key, own: noted, seen, rows, unsensed: unsensed(silentMs, wrong), nowMs: nowMs() };
    const first = receiptPart({ ...input, status: null });
    // The workflow is asked only about what waits: it knows why.
    const waits = seen !== null && first.version === null && (first.run === null || first.reason !== null);
    if (waits && !statuses.has(key.tenantId)) statuses.set(key.tenantId, await statusOf(key.tenantId));
    const status: CustomizationStatus | undefined = waits
      ? statuses.get(key.tenantId)?.customizations.find(({ customizationId }) => customizationId === key.customizationId)
      : undefined;
    parts.push(status ? receiptPart({ ...input, status }) : first);
  }
  return whole(gtid, parts);
}

const unsensed = (silentMs: number, wrong: string): string | null => {
  if (silentMs < lateMs && wrong === '') return null;
  const since = `not sensed since ${Math.round(silentMs / 1_000)} s`;
  return wrong === '' ? `${since}: see \`mw status\` for the connector and the change consumer` : `${since}: ${wrong}`;
};

/** A commit of this server that touches no customization, as far as is known. */
const unattributed = (gtid: string, wrong: string): Receipt => ({
  commit: gtid,
  committedAt: null,
  tables: [],
  customizations: [],
  stations: stationNames.map((name) => ({
    name,
    at: null,
    detail:
      name === 'committed'
        ? 'executed by this server'
        : name === 'sensed'
          ? wrong === ''
            ? 'not sensed: it changes no captured row, or the change consumer is behind'
            : `not sensed: ${wrong}`
          : null,
  })),
  version: null,
  run: null,
  reason: null,
  parts: [],
});

/** The parts as one: what everyone has reached, and when the last one did. */
function whole(gtid: string, parts: readonly ReceiptPart[]): Receipt {
  const [only, ...others] = parts;
  const common = {
    commit: gtid,
    tables: [...new Set(parts.flatMap(({ tables }) => tables))],
    customizations: [...new Set(parts.map(({ customizationId }) => customizationId))],
    parts,
  };
  if (only && others.length === 0) {
    const { stations, version, run, reason } = only;
    return { ...common, committedAt: stations[0]?.at ?? null, stations, version, run, reason };
  }
  const stations = stationNames.map((name, i): Station => {
    const reached = parts.map((part) => part.stations[i]);
    const times = reached.map((station) => station?.at ?? null);
    const at = times.every((time) => time !== null) ? (times.toSorted().at(-1) ?? null) : null;
    const details = parts.map((part) => [part.customizationId, part.stations[i]?.detail] as const).filter(([, detail]) => detail);
    return { name, at, detail: name === 'committed' ? gtid : details.map(([c, detail]) => `${c}: ${detail}`).join('; ') || null };
  });
  const reasons = parts.filter(({ reason }) => reason !== null).map(({ customizationId, reason }) => `${customizationId}: ${reason}`);
  return {
    ...common,
    committedAt: stations[0]?.at ?? null,
    stations,
    version: null,
    run: null,
    reason: reasons.length > 0 && parts.every(partEnded) ? reasons.join('; ') : null,
  };
}

const partEnded = ({ reason, stations }: ReceiptPart): boolean => reason !== null || stations.at(-1)?.at !== null;

/** Whether nothing more will happen by itself. */
export const isEnded = ({ parts }: Receipt): boolean => parts.length > 0 && parts.every(partEnded);
