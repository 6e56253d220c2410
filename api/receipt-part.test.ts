import { describe, expect, it } from 'vitest';
import { noBuckets, withBucket } from '../core/dirty-buckets.ts';
import { defaultPolicy } from '../core/policy.ts';
import type { CustomizationStatus } from '../core/tenant-messages.ts';
import { optionsDigest } from '../platform/hash.ts';
import { type PartInput, receiptPart } from './receipt-part.ts';
import type { CustomizationRows, SensedRow } from './receipt-rows.ts';

const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const second = 1_000;
const noon = Date.parse('2026-03-02T12:00:00Z');
const at = (seconds: number): Date => new Date(noon + seconds * second);
const bucket = (...numbers: number[]): string => numbers.reduce(withBucket, noBuckets);

// Rows as MySQL answers them; what makes them rows of the driver is of no interest here.
const seen = (over: object = {}): SensedRow =>
  ({
    tenant_id: 't',
    customization_id: 'c',
    committed_at: at(0),
    sensed_at: at(1),
    inserted: '1',
    updated: '0',
    deleted: '0',
    configured: 0,
    buckets: bucket(7),
    ...over,
  }) as SensedRow;
const rows = (over: { readonly [name in keyof CustomizationRows]?: unknown } = {}): CustomizationRows =>
  ({
    customization: { options: { method: 'head' }, source: null },
    datasets: [],
    decisions: [],
    runs: [],
    versions: [],
    production: null,
    trainedOptions: null,
    schemaHeld: null,
    ...over,
  }) as CustomizationRows;
const dataset = (number: number, upTo: number, read: string | null = null, digest = `d${number}`) => ({
  number,
  run_number: number,
  digest,
  cut: `${uuid}:1-${upTo}`,
  built_at: at(10 * number),
  row_count: '100',
  read_buckets: read,
});
const run = (number: number, state: string, over: object = {}) => ({
  number,
  state,
  trigger_kind: 'changes',
  reason: null,
  failure_class: null,
  stages: [],
  metrics: null,
  verdict: null,
  progress: null,
  training_ms: null,
  created_at: at(10 * number - 1),
  ...over,
});
const version = (number: number, promoted: Date | null) => ({
  version: number,
  run_number: number,
  dataset_number: number,
  published_at: at(10 * number + 5),
  stored_bytes: '10',
  promoted_at: promoted,
});
const status = (over: Partial<CustomizationStatus> = {}): CustomizationStatus => ({
  customizationId: 'c',
  phase: 'waiting',
  why: 'mode is manual',
  pending: { inserted: 1, updated: 0, deleted: 0, sinceMs: noon, dueAtMs: null },
  activeRun: null,
  lastFailure: null,
  production: null,
  lagMs: 0,
  policy: defaultPolicy,
  loaded: true,
  ...over,
});
const part = (over: Partial<PartInput>) =>
  receiptPart({
    gtid: `${uuid}:5`,
    key: { tenantId: 't', customizationId: 'c' },
    own: null,
    seen: seen(),
    rows: rows(),
    status: null,
    unsensed: null,
    nowMs: noon + 60 * second,
    ...over,
  });
const reached = (over: Partial<PartInput>): string[] =>
  part(over)
    .stations.filter((station) => station.at !== null)
    .map(({ name }) => name);

describe('a part of a receipt', () => {
  it('is served by the first promoted version whose dataset really holds the commit', () => {
    // Dataset 2 has it in its cut, but took bucket 7 over from dataset 1.
    const learned = rows({
      datasets: [dataset(1, 4), dataset(2, 9, bucket(3)), dataset(3, 12, bucket(7))],
      runs: [run(1, 'succeeded'), run(2, 'succeeded'), run(3, 'succeeded')],
      versions: [version(1, at(15)), version(2, at(25)), version(3, at(35))],
      production: 3,
    });
    expect(part({ rows: learned })).toMatchObject({ version: 3, run: 3, reason: null });
    expect(part({ rows: learned }).stations.at(-1)).toMatchObject({ at: at(35).toISOString(), detail: 'v3 answers' });
    expect(part({ rows: learned, seen: seen({ buckets: bucket(3) }) })).toMatchObject({ version: 2 });
  });

  it('says after a rollback that production has not learned it', () => {
    const learned = rows({
      datasets: [dataset(1, 4), dataset(2, 9)],
      runs: [run(1, 'succeeded'), run(2, 'succeeded')],
      versions: [version(1, at(15)), version(2, at(25))],
      production: 1,
    });
    expect(part({ rows: learned }).stations.at(-1)?.detail).toBe('v2 answered; production is v1 again, which has not learned it');
  });

  it('gives the reason of a run that ended without a version', () => {
    const ended = (state: string, reason: string, over: object = {}) =>
      part({ rows: rows({ datasets: [dataset(1, 9)], runs: [run(1, state, { reason, ...over })] }) }).reason;
    expect(ended('failed', 'the loss is not a number')).toBe('run 1 failed: the loss is not a number');
    expect(ended('cancelled', 'cancelled on request')).toBe('run 1 cancelled: cancelled on request');
    expect(ended('rejected', 'v1 is on hold: label money is worse')).toContain('on hold');
    expect(ended('failed', 'the store was away', { failure_class: 'storage' })).toBeNull();
  });

  it('knows a run that failed before it had a dataset, and one that is under way', () => {
    expect(part({ rows: rows({ runs: [run(1, 'failed', { reason: 'the table is gone' })] }) })).toMatchObject({
      run: 1,
      reason: 'run 1 failed: the table is gone',
    });
    expect(part({ rows: rows({ runs: [run(1, 'building')] }) })).toMatchObject({ run: 1, reason: null });
    expect(reached({ rows: rows({ runs: [run(1, 'building')] }) })).toEqual(['committed', 'sensed', 'due']);
    // A run from before the commit has nothing to do with it.
    expect(part({ rows: rows({ runs: [run(1, 'failed', { created_at: at(-5) })] }) })).toMatchObject({ run: null, reason: null });
  });

  it('of rows that were skipped because they are equal to served ones names the version that has them', () => {
    const equal = rows({
      datasets: [dataset(1, 4, null, 'same'), dataset(2, 9, null, 'same')],
      runs: [run(1, 'succeeded'), run(2, 'skipped', { reason: 'run 1 has already trained these rows' })],
      versions: [version(1, at(15))],
      production: 1,
    });
    expect(part({ rows: equal })).toMatchObject({ version: 1, reason: null });
  });

  it('tells no net change, unless changes that came during the comparison still wait', () => {
    const decisions = [{ kind: 'no_net_change', reason: 'no run: nothing changed', cut: `${uuid}:1-9`, decided_at: at(5) }];
    expect(part({ rows: rows({ decisions }) }).reason).toBe('no run: nothing changed');
    const waiting = status({ pending: { inserted: 1, updated: 0, deleted: 0, sinceMs: noon + second, dueAtMs: noon + 90 * second } });
    expect(part({ rows: rows({ decisions }), status: waiting }).reason).toBeNull();
  });

  it('says what a person must do: mode, pause, structure', () => {
    expect(part({ status: status() }).reason).toBe('waiting: mode is manual');
    expect(part({ status: status({ phase: 'paused', why: 'it is paused' }) }).reason).toBe('paused: it is paused');
    expect(part({ status: status({ loaded: false }) }).reason).toBeNull();
    expect(part({ status: status({ pending: { ...status().pending, dueAtMs: noon + 90_000 } }) }).reason).toBeNull();
    // What the workflow says in the first seconds is about older changes.
    expect(part({ status: status(), nowMs: noon + 2 * second }).reason).toBeNull();
    expect(part({ rows: rows({ schemaHeld: 'column label was dropped' }) }).reason).toContain('column label was dropped');
  });

  it('of settings alone says that no run follows, if the options are those that were trained', () => {
    const settings = seen({ inserted: '0', configured: 1, buckets: noBuckets });
    const trained = rows({ trainedOptions: optionsDigest({ method: 'head' }) });
    expect(part({ seen: settings, rows: trained }).reason).toContain('settings only');
    expect(part({ seen: settings, rows: rows({ trainedOptions: 'other' }) }).reason).toBeNull();
    expect(part({ seen: settings }).tables).toEqual(['modelwright.customizations']);
  });

  it('names the table of a mapped customization, and says when the customization is gone', () => {
    const mapped = rows({ customization: { options: {}, source: { database: 'shop', table: 'tickets' } } });
    expect(part({ rows: mapped }).tables).toEqual(['shop.tickets']);
    expect(part({ rows: rows({ customization: null }) }).reason).toContain('was deleted');
  });

  it('that is not sensed says so, and does not take a cut for proof', () => {
    const own = { committed_at: at(0) } as PartInput['own'];
    const partly = part({ own, seen: null, unsensed: 'not sensed since 9 s', rows: rows({ datasets: [dataset(1, 9, bucket(1))] }) });
    expect(partly.stations[1]?.detail).toBe('not sensed since 9 s');
    expect(partly.stations[3]?.at).toBeNull();
    const wholly = part({ own, seen: null, unsensed: 'x', rows: rows({ datasets: [dataset(1, 9)] }) });
    expect(wholly.stations[1]?.detail).toContain('found by a comparison');
    expect(wholly.stations[3]?.at).not.toBeNull();
  });
});
