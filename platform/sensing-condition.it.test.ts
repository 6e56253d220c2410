import { afterAll, beforeAll, expect, it } from 'vitest';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { conditionStore } from '../workers/cdc/healing/condition-store.ts';
import { type Pool, type RowDataPacket, createPool } from './mysql.ts';
import { endCondition, openCondition } from './sensing-condition.ts';

let stack: TestStack;
/** As many processes have them: each its own. */
let pools: Pool[];

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql'] });
  pools = Array.from({ length: 8 }, () => createPool(stack.config, { connectionLimit: 1 }));
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  await stack.remove();
});

async function rows(code: string): Promise<{ readonly state: string; readonly detail: string }[]> {
  const [found] = await pools[0]!.query<(RowDataPacket & { state: string; detail: string })[]>(
    'SELECT state, detail FROM modelwright_control.sensing_conditions WHERE code = ? ORDER BY condition_id',
    [code],
  );
  return found.map(({ state, detail }) => ({ state, detail }));
}

it('opens one condition, whoever finds it at once, and another one after it has ended', async () => {
  const named = { code: 'store_site_behind', subject: 'second site of the store' };
  const all = (detail: string): Promise<unknown> =>
    Promise.all(pools.map((pool) => openCondition(pool, { ...named, detail, remedy: 'see that it runs' })));
  for (let time = 1; time <= 5; time++) {
    await all(`occurrence ${time}`);
    expect((await rows(named.code)).filter(({ state }) => state !== 'healed')).toEqual([{ state: 'open', detail: `occurrence ${time}` }]);
    await endCondition(pools[0]!, { ...named, action: 'both have everything' });
  }
  expect(await rows(named.code)).toHaveLength(5);
});

it('gives watches that find the same at once the same row', async () => {
  const condition = {
    id: null,
    code: 'connector_stalled' as const,
    subject: 'a connector',
    detail: 'it failed',
    state: 'open' as const,
    action: null,
    detectedAtMs: 1_000,
  };
  const ids = await Promise.all(pools.map((pool) => conditionStore(pool).open(condition)));
  expect(new Set(ids).size).toBe(1);
  expect(await rows('connector_stalled')).toHaveLength(1);
});
