import type { FeedRecord } from '../../workers/cdc/change-feed.ts';

export type EventOptions = {
  readonly sequence?: number;
  readonly row?: number;
  readonly op?: string;
  readonly table?: string;
  readonly before?: Readonly<Record<string, unknown>> | null;
  readonly after?: Readonly<Record<string, unknown>> | null;
  readonly tsMs?: number;
};

export const eventSource = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
export const exampleRow = (tenantId: string, exampleId: string, customizationId = 'c'): Record<string, unknown> => ({
  tenant_id: tenantId,
  customization_id: customizationId,
  example_id: exampleId,
});

/** A Debezium event as our connector writes it: JSON without schemas, content left out. */
export function debeziumValue({
  sequence = 1,
  row = 0,
  op = 'c',
  table = 'examples',
  before = null,
  after = null,
  tsMs = 1_000,
}: EventOptions): Buffer {
  const source = {
    version: '3.6.1.Final',
    connector: 'mysql',
    name: 'mw',
    ts_ms: tsMs,
    snapshot: op === 'r' ? 'true' : 'false',
    db: 'modelwright',
    table,
    server_id: 1,
    gtid: `${eventSource}:${sequence}`,
    file: 'binlog.000002',
    pos: sequence * 1_000,
    row,
    thread: 9,
    query: null,
  };
  return Buffer.from(JSON.stringify({ before, after, source, op, ts_ms: tsMs + 5, transaction: null }));
}

export const record = (offset: number, value: Buffer | null): FeedRecord => ({ offset: String(offset), key: null, value });
