import type { Pool, RowDataPacket } from '../platform/mysql.ts';
import { endCondition, openCondition } from '../platform/sensing-condition.ts';
import type { SiteName, StoreSite } from './object-store.ts';

/** Shown with what is wrong in the sensing: by `mw status`, `mw doctor` and `GET /v1/sensing`. */
const code = 'store_site_behind';
const remedy =
  'nothing is lost, but until then only the other site has it: see that the site runs (`./mw doctor` tries it) and has room; what it lacks is brought ' +
  'there within a minute after it answers, or at once by `./mw store scrub`';
const healed = 'both sites have everything that was on record';

const keysPerStatement = 500;
const reasonChars = 500;

/** `copy`: the other site has it. `removal`: it is to go, and the garbage collection sees to that. */
export type OwedWhat = 'copy' | 'removal';
export type Owed = { readonly key: string; readonly what: OwedWhat; readonly since: string };

/** What a site lacks, or has too much, because it was away. On record before anybody is told that it is stored. */
export type OwedObjects = {
  note(site: StoreSite, keys: readonly string[], what: OwedWhat, reason: string): Promise<void>;
  has(site: StoreSite, key: string): Promise<boolean>;
};

const subjectOf = ({ name }: Pick<StoreSite, 'name'>): string => `${name} site of the store`;

export function createOwedObjects(pool: Pool): OwedObjects {
  /** One after the other: two at once would open two conditions. */
  let showing: Promise<unknown> = Promise.resolve();
  return {
    note: async (site, keys, what, reason) => {
      for (let at = 0; at < keys.length; at += keysPerStatement) {
        const rows = keys.slice(at, at + keysPerStatement).map((key) => [site.name, key, what, reason.slice(0, reasonChars)]);
        await pool.query(
          `INSERT INTO modelwright_control.store_owed (site, object_key, what, reason) VALUES ? AS own
           ON DUPLICATE KEY UPDATE what = own.what, reason = own.reason, since = UTC_TIMESTAMP(6)`,
          [rows],
        );
      }
      const shown = showing.then(() => showOwed(pool, site));
      showing = shown.catch(() => undefined);
      await shown;
    },
    has: async (site, key) => {
      const [rows] = await pool.query<RowDataPacket[]>(
        "SELECT 1 FROM modelwright_control.store_owed WHERE site = ? AND object_key = ? AND what = 'copy'",
        [site.name, key],
      );
      return rows.length > 0;
    },
  };
}

type OwedRow = RowDataPacket & { object_key: string; what: OwedWhat; since: string };

/** In the order of their keys, after `after`. */
export async function listOwed(pool: Pool, site: SiteName, after: string, limit: number): Promise<Owed[]> {
  const [rows] = await pool.query<OwedRow[]>(
    `SELECT object_key, what, CAST(since AS CHAR) AS since FROM modelwright_control.store_owed
     WHERE site = ? AND object_key > ? ORDER BY object_key LIMIT ?`,
    [site, after, limit],
  );
  return rows.map(({ object_key, what, since }) => ({ key: object_key, what, since }));
}

/** It is made good; not where it was noted once more meanwhile. */
export async function clearOwed(pool: Pool, site: SiteName, { key, since }: Owed): Promise<void> {
  await pool.query('DELETE FROM modelwright_control.store_owed WHERE site = ? AND object_key = ? AND since = ?', [site, key, since]);
}

type CountRow = RowDataPacket & { copies: string; removals: string; first: string | null; reason: string | null };

/** The condition of the site as the record is now. Key: site. */
export async function showOwed(pool: Pool, site: Pick<StoreSite, 'name' | 'endpoint'>): Promise<void> {
  const detail = async (): Promise<string | null> => {
    const [rows] = await pool.query<CountRow[]>(
      `SELECT COALESCE(SUM(what = 'copy'), 0) AS copies, COALESCE(SUM(what = 'removal'), 0) AS removals, CAST(MIN(since) AS CHAR) AS first,
         MAX(reason) AS reason FROM modelwright_control.store_owed WHERE site = ?`,
      [site.name],
    );
    const { copies = '0', removals = '0', first, reason } = rows[0] ?? {};
    const parts = [
      Number(copies) > 0 ? `${copies} objects are not there or not right` : '',
      Number(removals) > 0 ? `${removals} removed ones are still there` : '',
    ];
    const said = parts.filter((part) => part !== '').join(', ');
    return said === '' ? null : `${site.endpoint}: ${said}, the oldest since ${first?.slice(0, 19) ?? ''} UTC: ${reason ?? ''}`;
  };
  const now = await detail();
  if (now !== null) return await openCondition(pool, { code, subject: subjectOf(site), detail: now, remedy });
  await endCondition(pool, { code, subject: subjectOf(site), action: healed });
  // Noted in between: whoever did so may have found the condition open still.
  const since = await detail();
  if (since !== null) await openCondition(pool, { code, subject: subjectOf(site), detail: since, remedy });
}
