import { nowMs, sleep } from '../../../platform/clock.ts';
import type { ConnectClient } from '../../../platform/kafka-connect.ts';
import type { Pool, RowDataPacket } from '../../../platform/mysql.ts';
import { wantedSettings } from './detect-source.ts';
import type { Asked, Facts, KafkaFacts, LogEnd, Seen, SourceFacts } from './facts.ts';

/** An engine that takes longer than this does not answer. */
const askMs = 8_000;

async function ask<T>(work: () => Promise<T>): Promise<Asked<T>> {
  const stop = new AbortController();
  try {
    const late = sleep(askMs, undefined, { signal: stop.signal }).then((): never => {
      throw new Error(`no answer within ${askMs / 1_000} s`);
    });
    late.catch(() => undefined);
    return { ok: true, value: await Promise.race([work(), late]) };
  } catch (error) {
    return { ok: false, error: error instanceof Error && error.message !== '' ? error.message : String(error) };
  } finally {
    stop.abort();
  }
}

type Asks = {
  readonly connect: Pick<ConnectClient, 'connectors'>;
  readonly pool: Pool;
  readonly kafka: { readonly facts: () => Promise<KafkaFacts> };
};

/** One look. The connectors first: a source that is asked later has everything that they have read, unless it was reset. */
export async function look({ connect, pool, kafka }: Asks, seen: () => Seen): Promise<Facts> {
  const sinceLast = seen();
  const [[connectors, source], topics] = await Promise.all([
    (async () => [await ask(() => connect.connectors()), await ask(() => sourceFacts(pool))] as const)(),
    ask(() => kafka.facts()),
  ]);
  return { atMs: nowMs(), connect: connectors, source, kafka: topics, ...sinceLast };
}

type VariablesRow = RowDataPacket & Readonly<Record<string, string | number>>;

async function sourceFacts(pool: Pool): Promise<SourceFacts> {
  const names = Object.keys(wantedSettings);
  const [rows] = await pool.query<VariablesRow[]>(
    `SELECT @@server_uuid AS uuid, @@server_id AS id, @@global.gtid_executed AS executed, @@global.gtid_purged AS purged,
       ${names.map((name) => `@@global.${name} AS ${name}`).join(', ')}`,
  );
  const row = rows[0];
  if (!row) throw new Error('MySQL did not tell its variables');
  const text = (name: string): string => String(row[name] ?? '').replaceAll(/\s/g, '');
  return {
    serverUuid: text('uuid'),
    serverId: text('id'),
    executed: text('executed'),
    purged: text('purged'),
    log: await endOfLog(pool),
    settings: Object.fromEntries(names.map((name) => [name, text(name)])),
  };
}

/** Null where it may not be asked (REPLICATION CLIENT), or where the server calls it otherwise: then GTIDs alone must do. */
async function endOfLog(pool: Pool): Promise<LogEnd | null> {
  try {
    const [rows] = await pool.query<(RowDataPacket & { File: string; Position: number | string })[]>('SHOW BINARY LOG STATUS');
    return rows[0] ? { file: rows[0].File, pos: Number(rows[0].Position) } : null;
  } catch (error) {
    const code = (error as { code?: string }).code ?? '';
    if (code === 'ER_SPECIFIC_ACCESS_DENIED_ERROR' || code === 'ER_PARSE_ERROR') return null;
    throw error;
  }
}
