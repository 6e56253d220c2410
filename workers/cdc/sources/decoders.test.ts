import { describe, expect, it } from 'vitest';
import { createLogger } from '../../../platform/logger.ts';
import { debeziumValue, exampleRow } from '../../../test/support/debezium-events.ts';
import { decodersOf } from './decoders.ts';
import type { Mapping } from './mappings.ts';

const mapped: Mapping = {
  tenantId: 'acme',
  customizationId: 'c',
  source: { database: 'modelwright', table: 'reviews', columns: { id: 'number' }, filter: null },
  digest: '',
  announced: null,
  state: null,
  detail: null,
};

/** Mappings as they are in MySQL, and as they were loaded last. */
function setUp(failures = 0) {
  const stored: Mapping[] = [];
  let loaded: readonly Mapping[] = [];
  let left = failures;
  let woken = 0;
  const decoderOf = decodersOf({
    mappings: {
      refresh: async () => {
        if (left-- > 0) throw new Error('MySQL is away');
        loaded = [...stored];
        return loaded;
      },
      ofTable: (_database, table) => loaded.filter(({ source }) => source.table === table),
    },
    sourcePrefix: 'mw-source-',
    onConfigured: () => (woken += 1),
    logger: createLogger('test', 'fatal'),
  });
  return { stored, decoderOf, woken: () => woken };
}
const alive = async (): Promise<void> => undefined;
const event = { value: debeziumValue({ table: 'reviews', after: { number: 5 } }) };

describe('the decoder of a topic', () => {
  it('judges a batch of a mapped table by mappings that were loaded after the batch came', async () => {
    const { stored, decoderOf } = setUp();
    const before = await decoderOf('mw-source-shop.shop.reviews', alive);
    expect(before(event)).toEqual({ kind: 'nothing', why: 'unmapped' });
    stored.push(mapped);
    const after = await decoderOf('mw-source-shop.shop.reviews', alive);
    expect(after(event)).toMatchObject({ kind: 'change', effects: [{ tenantId: 'acme', operation: 'inserted' }] });
  });

  it('waits for MySQL, keeps the partition meanwhile, and passes no event over', async () => {
    const { stored, decoderOf } = setUp(1);
    stored.push(mapped);
    let kept = 0;
    const decode = await decoderOf('mw-source-shop.shop.reviews', async () => void (kept += 1));
    expect(kept).toBe(1);
    expect(decode(event)).toMatchObject({ kind: 'change' });
  });

  it('of our own tables wakes the reconciler when a customization was changed, and else does not', async () => {
    const { decoderOf, woken } = setUp();
    const decode = await decoderOf('mw.modelwright.customizations', alive);
    decode({ value: debeziumValue({ table: 'examples', after: exampleRow('acme', 'e') }) });
    expect(woken()).toBe(0);
    decode({ value: debeziumValue({ table: 'customizations', op: 'd', before: exampleRow('acme', 'e') }) });
    expect(woken()).toBe(1);
  });
});
