import { Gauge, type Registry } from 'prom-client';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';

type CountRow = RowDataPacket & { of: string; objects: string };
export type StoreCounts = {
  /** Found damaged or missing, and not mended: of what all tenants share, and of the tenants. */
  readonly damaged: { readonly shared: number; readonly tenant: number };
  /** By site of the store, where it has two: what the site lacks or has too much. */
  readonly owed: Readonly<Record<string, number>>;
};

/** As the registry has them now. `sites`: names of the sites, none where the store has one. */
export async function countStore(pool: Pool, sites: readonly string[]): Promise<StoreCounts> {
  const [damaged] = await pool.query<CountRow[]>(
    "SELECT IF(tenant_id = '', 'shared', 'tenant') AS `of`, COUNT(*) AS objects FROM modelwright_control.store_damages WHERE repaired_at IS NULL GROUP BY 1",
  );
  const [owed] = await pool.query<CountRow[]>('SELECT site AS `of`, COUNT(*) AS objects FROM modelwright_control.store_owed GROUP BY site');
  const count = (rows: readonly CountRow[], of: string): number => Number(rows.find((row) => row.of === of)?.objects ?? 0);
  return {
    damaged: { shared: count(damaged, 'shared'), tenant: count(damaged, 'tenant') },
    owed: Object.fromEntries(sites.map((site) => [site, count(owed, site)])),
  };
}

/** What is wrong in the store, counted when it is asked for; without a number while the database does not answer. Names are part of docs and alert rules. */
export function storeMetrics(registry: Registry, look: () => Promise<StoreCounts>): void {
  const registers = [registry];
  const counted = (show: (counts: StoreCounts, gauge: Gauge) => void) =>
    async function collect(this: Gauge): Promise<void> {
      this.reset();
      const counts = await look().catch(() => null);
      if (counts) show(counts, this);
    };
  const damaged = new Gauge({
    name: 'mw_store_damaged_objects',
    help: 'Stored objects that were found damaged or missing and could not be mended',
    labelNames: ['scope'],
    registers,
    collect: counted(({ damaged: { shared, tenant } }, gauge) => {
      gauge.set({ scope: 'shared' }, shared);
      gauge.set({ scope: 'tenant' }, tenant);
    }),
  });
  const owed = new Gauge({
    name: 'mw_store_owed_objects',
    help: 'Objects that a site of the store lacks, has wrong or has too much',
    labelNames: ['site'],
    registers,
    collect: counted((counts, gauge) => {
      for (const [site, objects] of Object.entries(counts.owed)) gauge.set({ site }, objects);
    }),
  });
  void [damaged, owed];
}
