import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Pool, createPool } from '../../../platform/mysql.ts';
import { type TestStack, startTestStack } from '../../../test/support/engines.ts';
import { affectedTenants, capturedBy, carriedBy } from './affected.ts';
import type { Condition } from './condition-book.ts';
import { type ConditionStore, conditionStore, watchLock } from './condition-store.ts';

let stack: TestStack;
let pool: Pool;
let store: ConditionStore;

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql'] });
  pool = createPool(stack.config);
  store = conditionStore(pool);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

const fault: Condition = {
  code: 'binlog_reset',
  subject: 'mysql',
  detail: 'the log was reset',
  id: null,
  state: 'open',
  detectedAtMs: Date.parse('2026-03-02T12:00:00.123Z'),
  action: null,
};

describe('tenants that a loss concerns', () => {
  beforeAll(async () => {
    const customize = async (tenantId: string, customizationId: string, source: object | null): Promise<void> =>
      void (await pool.query(
        `INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt, source)
         VALUES (?, ?, 'n', 'text-classification', '{}', '{}', REPEAT('a', 32), ?)`,
        [tenantId, customizationId, source && JSON.stringify(source)],
      ));
    await customize('a', 'kept', null);
    await customize('a', 'mapped', { database: 'shop', table: 'orders', columns: { id: 'id', text: 't' }, filter: null });
    await customize('b', 'kept', null);
    await pool.query("INSERT INTO modelwright_control.tenants (tenant_id, name, quotas) VALUES ('a', 'a', '{}')");
    // Sensed once, no longer there; of a tenant that is gone as well, nobody must hear.
    for (const tenantId of ['a', 'left'])
      await pool.query(
        `INSERT INTO modelwright_control.sensed_commits (gtid, tenant_id, customization_id, inserted, updated, deleted, committed_at, sensed_at)
         VALUES ('g:1', ?, 'deleted', 1, 0, 0, NOW(6), NOW(6))`,
        [tenantId],
      );
  });
  const managed = capturedBy([{ 'table.include.list': 'modelwright.customizations,modelwright.examples' }]);

  it('compare the tables that the broken connector captures, and read settings again where it captures those', async () => {
    expect(Object.fromEntries(await affectedTenants(pool, managed, 'why'))).toEqual({
      a: { customizationIds: ['kept'], settingsIds: ['deleted', 'kept', 'mapped'], reason: 'why' },
      b: { customizationIds: ['kept'], settingsIds: ['kept'], reason: 'why' },
    });
    const mapped = capturedBy([{ 'table.include.list': 'shop\\.orders' }]);
    expect(Object.fromEntries(await affectedTenants(pool, mapped, 'why'))).toEqual({
      a: { customizationIds: ['mapped'], settingsIds: [], reason: 'why' },
    });
  });

  it('are those of the lost partition alone', async () => {
    const lost = carriedBy('mw.modelwright.examples', (tenantId) => tenantId === 'b');
    expect(Object.fromEntries(await affectedTenants(pool, lost, 'why'))).toEqual({
      b: { customizationIds: ['kept'], settingsIds: [], reason: 'why' },
    });
  });
});

describe('what the watch keeps', () => {
  it('is read back as it was until it is ended, with the time of detection', async () => {
    const id = await store.open(fault);
    expect(await store.load()).toEqual([{ ...fault, id }]);
    await store.healing(id, 'restarting');
    expect(await store.load()).toMatchObject([{ state: 'healing', action: 'restarting' }]);
    await store.end(id, 'done', fault.detectedAtMs + 1_000);
    expect(await store.load()).toEqual([]);
  });

  it('raises the epoch once for one condition, and remembers who was told', async () => {
    expect(await store.epoch()).toBe(0);
    expect([await store.raiseEpoch('7'), await store.raiseEpoch('7'), await store.raiseEpoch('8')]).toEqual([1, 1, 2]);
    expect(await store.epoch()).toBe(2);
    for (const tenantId of ['a', 'b', 'a']) await store.markTold('7', tenantId);
    expect(await store.told('7')).toEqual(new Set(['a', 'b']));
    await store.forgetTold('7');
    expect(await store.told('7')).toEqual(new Set());
  });

  it('keeps marks of source, topics and connectors apart', async () => {
    const mark = { serverUuid: 'u', serverId: '1', executed: 'u:1-5', log: { file: 'binlog.000002', pos: 157 } };
    await store.markConsumed('mw.modelwright.examples');
    await store.markPositioned('modelwright', 12);
    await store.markPositioned('modelwright-source-shop', null);
    await store.markSource({ ...mark, executed: 'u:1' });
    await store.markSource(mark);
    const positioned = ['modelwright', 'modelwright-source-shop'];
    const marks = { source: mark, consumed: ['mw.modelwright.examples'], positioned };
    expect(await store.loadMarks()).toEqual({ ...marks, begun: new Map([['modelwright', 12]]) });
    await store.forgetBeginning('modelwright');
    expect(await store.loadMarks()).toEqual({ ...marks, begun: new Map() });
  });

  it('is kept by one watch: another takes over when its lock is gone', async () => {
    const [first, second] = [watchLock(pool), watchLock(pool)];
    expect([await first.take(), await second.take(), await first.take()]).toEqual([true, false, true]);
    first.release();
    await expect.poll(() => second.take(), { timeout: 10_000 }).toBe(true);
    expect(await first.take()).toBe(false);
    second.release();
  });
});
