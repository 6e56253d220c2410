import { describe, expect, it } from 'vitest';
import { createLogger } from '../../../platform/logger.ts';
import { createSchemaTelling } from './tell-schema-changes.ts';
import type { UntoldChange } from './untold-changes.ts';

const change = (changeId: string, table: string, tenantId = 't'): UntoldChange => ({
  tenantId,
  change: {
    customizationId: 'c',
    changeId,
    table,
    kind: 'column_dropped',
    effect: 'held',
    reason: 'r',
    schemaVersion: 2,
    gtid: 'x:1',
    atMs: 1,
  },
});

/** Tables whose rows from before a change are not read yet, and a tenant whose workflow refuses. */
async function telling(untold: UntoldChange[]) {
  const behind = new Set<string>();
  const refusing = new Set<string>();
  const told: string[] = [];
  const service = createSchemaTelling({
    untold: async () => untold.filter(({ change: { changeId }, tenantId }) => !told.includes(`${tenantId} ${changeId}`)),
    markTold: async () => undefined,
    signal: async ({ tenantId, change: { changeId } }) => {
      if (refusing.has(tenantId)) throw new Error('RESOURCE_EXHAUSTED');
      told.push(`${tenantId} ${changeId}`);
    },
    barrier: {
      mark: async (table) => new Map([[table, 1n]]),
      passed: async (mark) => ![...mark.keys()].some((table) => behind.has(table)),
      stop: async () => undefined,
    },
    logger: createLogger('test', 'error'),
  });
  return { service, behind, refusing, told };
}
const until = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 200 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(holds()).toBe(true);
};

describe('changes on record', { timeout: 30_000 }, () => {
  it('are told after the rows that came before them, and hold up no other table', async () => {
    const { service, behind, told } = await telling([
      change('x:1/shop.a', 'shop.a'),
      change('x:2/shop.a', 'shop.a'),
      change('x:3/shop.b', 'shop.b'),
    ]);
    behind.add('shop.a');
    service.start();
    await until(() => told.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(told).toEqual(['t x:3/shop.b']);
    behind.clear();
    await until(() => told.length === 3);
    expect(told.slice(1)).toEqual(['t x:1/shop.a', 't x:2/shop.a']);
    await service.stop();
  });

  it('are told later by a workflow service that refuses, and the refusals are seen', async () => {
    const { service, refusing, told } = await telling([change('x:1/shop.a', 'shop.a', 'two'), change('x:1/shop.a', 'shop.a', 'one')]);
    refusing.add('two');
    service.start();
    await until(() => service.failures() > 0);
    expect(told).toEqual(['one x:1/shop.a']);
    refusing.clear();
    await until(() => told.length === 2);
    await until(() => service.failures() === 0);
    await service.stop();
  });
});
