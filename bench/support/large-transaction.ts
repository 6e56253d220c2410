import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import type { TestStack } from '../../test/support/engines.ts';
import { insertExamples, sensedByTenant } from './example-rows.ts';
import { residentBytes, sampleEvery } from './process-usage.ts';

const rowsPerStatement = 5_000;
const commitEveryMs = 100;
/** Commits of the small tenant before the large one begins: what is usual. */
const quietMs = 10_000;

export type LargeTransaction = {
  readonly rows: number;
  readonly sensedRows: number;
  /** Commit to sensed of the other tenant's commits, before the large one was committed and from then until it was sensed. */
  readonly beforeMs: readonly number[];
  readonly duringMs: readonly number[];
  readonly memoryBefore: number;
  readonly memoryPeak: number;
  /** From the commit of the large transaction until all of it was counted. */
  readonly streamedMs: number;
};

/** One tenant commits `rows` rows at once while another commits one row every 100 ms. */
export async function largeTransaction(stack: TestStack, pool: Pool, rows: number, deadlineMs: number): Promise<LargeTransaction> {
  const pid = stack.status().processes.find(({ name }) => name === 'change-consumer')?.pid;
  if (!pid) throw new Error('the change consumer does not run');
  const stopping = new AbortController();
  const small = (async () => {
    for (let i = 0; !stopping.signal.aborted; i++) {
      await insertExamples(pool, 'small', i, i + 1);
      await sleep(commitEveryMs);
    }
  })();
  await sleep(quietMs);
  const memoryBefore = residentBytes(pid);
  let memoryPeak = memoryBefore;
  const stopSampling = sampleEvery(50, () => (memoryPeak = Math.max(memoryPeak, residentBytes(pid))));

  const connection = await pool.getConnection();
  await connection.beginTransaction();
  for (let from = 0; from < rows; from += rowsPerStatement)
    await insertExamples(connection, 'large', from, Math.min(rows, from + rowsPerStatement));
  const committingMs = Date.now();
  await connection.commit();
  connection.release();
  const committedMs = Date.now();

  let sensedRows = 0;
  while (sensedRows < rows && Date.now() - committedMs < deadlineMs) {
    await sleep(200);
    sensedRows = (await sensedByTenant(pool)).get('large') ?? 0;
  }
  const streamedMs = Date.now() - committedMs;
  await sleep(3_000);
  stopping.abort();
  await small;
  await sleep(3_000);
  stopSampling();
  const [delays] = await pool.query<RowDataPacket[]>(
    `SELECT UNIX_TIMESTAMP(committed_at) * 1000 AS at, TIMESTAMPDIFF(MICROSECOND, committed_at, sensed_at) / 1000 AS delay
     FROM modelwright_control.sensed_commits WHERE tenant_id = 'small' ORDER BY 1`,
  );
  const of = (holds: (atMs: number) => boolean): number[] =>
    delays.filter(({ at }) => holds(Number(at))).map(({ delay }) => Math.max(0, Number(delay)));
  return {
    rows,
    sensedRows,
    beforeMs: of((at) => at < committingMs),
    duringMs: of((at) => at >= committingMs && at <= committedMs + streamedMs),
    memoryBefore,
    memoryPeak,
    streamedMs,
  };
}
