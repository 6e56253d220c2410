import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { TenantPending } from '../../core/tenant-messages.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import type { SensingFaults } from './sensing-faults.ts';

const lookEveryMs = 400;

/** Numbers that order positions of one server's log, read by other code than the product's own: transaction, file, byte, row. */
type Place = readonly number[];
const lastNumber = (text: string): number => Number(/(\d+)$/.exec(text)?.[1] ?? 0);
function isBefore(a: Place, b: Place): boolean {
  const i = a.findIndex((value, at) => value !== b[at]);
  return i >= 0 && (a[i] ?? 0) < (b[i] ?? 0);
}

/** Looks all the time at what must only move forward (I7): watermarks of the tenants' workflows, and the consumer group's offsets. */
export class ForwardWatch {
  readonly #seen = new Map<string, Place>();
  readonly #stopping = new AbortController();
  readonly #faults: SensingFaults;
  readonly #temporal: Client;
  #running: Promise<unknown> = Promise.resolve();
  /** What went back, in words. */
  readonly backwards: string[] = [];
  /** Places that were seen to move. */
  moves = 0;

  constructor(faults: SensingFaults, temporal: Client) {
    this.#faults = faults;
    this.#temporal = temporal;
  }

  start(tenantIds: () => readonly string[]): void {
    this.#running = Promise.all([
      this.#look(async () => {
        for (const tenantId of tenantIds()) {
          const { watermarks } = await this.#temporal.withDeadline(Date.now() + 5_000, () =>
            this.#temporal.workflow.getHandle(`tenant/${tenantId}`).query<TenantPending>('getPending'),
          );
          for (const [partition, sources] of Object.entries(watermarks))
            for (const [source, { gtid, file, pos, row }] of Object.entries(sources))
              this.#note(`watermark of ${tenantId} in ${partition} of ${source}`, [lastNumber(gtid), lastNumber(file), pos, row]);
        }
      }),
      this.#faults.withAdmin((admin) =>
        this.#look(async () => {
          const { prefix } = this.#faults;
          const offsets = await admin.fetchOffsets({ groupId: `${prefix}-change-consumer`, topics: [`${prefix}.modelwright.examples`] });
          for (const { partitions } of offsets)
            for (const { partition, offset } of partitions) this.#note(`committed offset of partition ${partition}`, [Number(offset)]);
        }),
      ),
    ]);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  #note(what: string, now: Place): void {
    const before = this.#seen.get(what);
    if (before && isBefore(now, before)) this.backwards.push(`${what}: ${before.join('/')} to ${now.join('/')}`);
    if (before && isBefore(before, now)) this.moves += 1;
    this.#seen.set(what, now);
  }

  async #look(once: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      // What cannot be asked now, because it is the fault, is asked again.
      await once().catch(() => undefined);
      await sleep(lookEveryMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Datasets whose cut does not contain the cut of the one before, by MySQL's own arithmetic of GTID sets. */
export async function datasetsThatWentBack(pool: Pool): Promise<string[]> {
  const [rows] = await pool.query<RowDataPacket[]>(
    `SELECT tenant_id, customization_id, number FROM (
       SELECT tenant_id, customization_id, number, cut, LAG(cut) OVER (PARTITION BY tenant_id, customization_id ORDER BY number) AS earlier
       FROM modelwright_control.datasets) AS cuts
     WHERE earlier IS NOT NULL AND GTID_SUBSET(earlier, cut) = 0`,
  );
  return rows.map((row) => `${row['tenant_id']}/${row['customization_id']} dataset ${row['number']}`);
}
