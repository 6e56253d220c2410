import { nowMs } from '../../../platform/clock.ts';
import type { TableEvent } from '../schema/decode-schema-event.ts';
import { customizationsTable } from './affected.ts';
import type { ConditionStore } from './condition-store.ts';

export const isOfCustomizations = ({ database, table }: Pick<TableEvent, 'database' | 'table'>): boolean =>
  `${database}.${table}` === customizationsTable;

/**
 * All customizations went without a row event. No tenant is named, so the watch heals it: it tells every tenant to read its settings
 * again. Key: the condition while it is open; told again after that, it costs a second reading.
 */
export async function reportTruncate(store: Pick<ConditionStore, 'load' | 'open'>, { position }: TableEvent): Promise<void> {
  const code = 'customizations_truncated';
  const known = await store.load();
  if (known.some((condition) => condition.code === code)) return;
  const detail = `TRUNCATE removed all rows of ${customizationsTable}${position.gtid === '' ? '' : ` in commit ${position.gtid}`}`;
  await store.open({ code, subject: customizationsTable, detail, id: null, state: 'open', detectedAtMs: nowMs(), action: null });
}
