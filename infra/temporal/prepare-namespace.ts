import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { searchAttributes } from '../../core/search-attributes.ts';
import { sleep } from '../../platform/clock.ts';
import type { Config } from '../../platform/config.ts';
import { prepareSchedules } from './schedules.ts';

/** How long ended workflows can be looked at in the Web UI. */
const retention = '30 days';
const attempts = 60;
const retryMs = 250;

/** Numbers of the protocol's IndexedValueType. */
const attributeTypes = { Text: 1, Keyword: 2, Double: 4 } as const;

/** Sets the namespace's retention, adds the search attributes that are missing, and makes the schedules. Repeating it changes nothing. */
export async function prepareNamespace(config: Pick<Config, 'temporal' | 'settings'>): Promise<void> {
  const { address, namespace } = config.temporal;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const connection = await Connection.connect({ address, connectTimeout: '5s' });
      try {
        await connection.workflowService.updateNamespace({
          namespace,
          config: { workflowExecutionRetentionTtl: msToTs(retention) },
        });
        const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
        const missing = Object.entries(searchAttributes).filter(([name]) => !(name in (customAttributes ?? {})));
        if (missing.length > 0) {
          await connection.operatorService.addSearchAttributes({
            namespace,
            searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, attributeTypes[type]])),
          });
        }
        await prepareSchedules(connection, config);
        return;
      } finally {
        await connection.close();
      }
    } catch (error) {
      if (attempt === attempts) throw error;
      await sleep(retryMs);
    }
  }
}
