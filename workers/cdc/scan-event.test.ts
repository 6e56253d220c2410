import { describe, expect, it } from 'vitest';
import { bucketOf } from '../../platform/hash.ts';
import { decodeChange, parseChange } from './decode.ts';
import { scanEvent } from './scan-event.ts';

/** Numbers that look random and are the same in every run. */
function seeded(seed: number) {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)] as T;
  return { next, pick, rarely: <T>(often: T, seldom: () => T): T => (next() < 0.02 ? seldom() : often) };
}
type Random = ReturnType<typeof seeded>;

const oddTexts = [
  '',
  'a"b',
  'back\\slash',
  'tab\t',
  '{"}',
  '}{',
  '","op":"d',
  '"row":7',
  '\u0000',
  'é',
  '例え',
  '😀',
  '\u2028',
  '\ud800',
  '\x7f',
  "'",
  '\\u0041',
];
const oddNumbers = [
  '0',
  '-1',
  '1.5',
  '1e3',
  '9007199254740993',
  '18446744073709551615',
  '01',
  '-',
  '1e999',
  '300',
  '4294967297',
  'null',
  '"7"',
  'true',
  '{}',
  '[1]',
];
const escape = (text: string, random: Random): string =>
  random.rarely(
    JSON.stringify(text),
    () => `"${Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`,
  );

/** An event as Debezium writes it, with a few things that it never or seldom writes. JSON text, not always valid. */
function eventText(random: Random): string {
  const { pick, rarely, next } = random;
  const field = (name: string, value: string): string =>
    rarely(`"${name}":${value}`, () => pick(['', `"${name}":${value},"${name}":"again"`, `"${name}": ${value}`]));
  const object = (fields: readonly string[]): string => {
    const kept = fields.filter((text) => text !== '');
    return `{${rarely(kept, () => kept.toReversed()).join(',')}}`;
  };
  const text = (usual: string): string =>
    escape(
      rarely(usual, () => pick(oddTexts)),
      random,
    );
  const number = (usual: number): string => rarely(String(usual), () => pick(oddNumbers));
  const tenant = pick(['t1', 't2', 'tenant-with-a-long-name']);
  const id = `e${Math.floor(next() * 3)}`;
  const row = (): string =>
    rarely(
      object([
        field('tenant_id', text(tenant)),
        field('customization_id', text('c')),
        field('example_id', text(rarely(id, () => 'other'))),
        field('bucket', number(bucketOf(id))),
        field('created_at', number(1_795_612_946_818_876)),
        field('updated_at', number(1_795_612_946_818_876)),
        rarely('', () => `"note":${text('a column of tomorrow')}`),
      ]),
      () => pick(['null', '{}', '[]', '7', '"row"']),
    );
  const op = pick(['c', 'c', 'c', 'c', 'u', 'd', 'r']);
  const source = object([
    field('version', text('3.6.1.Final')),
    field('connector', '"mysql"'),
    field('name', '"mw"'),
    field('ts_ms', number(1_795_612_946_820)),
    field('snapshot', '"false"'),
    field('db', text('modelwright')),
    field('sequence', 'null'),
    field('ts_us', number(1_795_612_946_820_405)),
    field('ts_ns', number(9)),
    field('table', text(rarely('examples', () => pick(['customizations', 'others'])))),
    field('server_id', number(1)),
    field(
      'gtid',
      rarely(text(`3e11fa47-71ca-11e1-9e33-c80aa9429562:${Math.floor(next() * 3)}`), () => 'null'),
    ),
    field('file', text('binlog.000002')),
    field('pos', number(Math.floor(next() * 3) * 1_000)),
    field('row', number(Math.floor(next() * 30))),
    field(
      'thread',
      rarely('17', () => 'null'),
    ),
    field(
      'query',
      rarely('null', () => text('INSERT')),
    ),
  ]);
  return object([
    field('before', op === 'c' || op === 'r' ? rarely('null', row) : row()),
    field('after', op === 'd' ? rarely('null', row) : row()),
    field(
      'source',
      rarely(source, () => 'null'),
    ),
    field(
      'transaction',
      rarely('null', () => '{"id":"a","total_order":1}'),
    ),
    field(
      'op',
      escape(
        rarely(op, () => pick(['t', 'x', 'cc', ''])),
        random,
      ),
    ),
    field('ts_ms', number(1_795_612_946_850)),
    field('ts_us', number(1_795_612_946_850_206)),
    field('ts_ns', number(7)),
  ]);
}

/** Bytes of it: sometimes cut off, with something behind it, or with a byte that is not what it was. */
function eventBytes(random: Random): Buffer {
  const bytes = Buffer.from(eventText(random));
  if (random.next() < 0.03) return bytes.subarray(0, Math.floor(random.next() * bytes.length));
  if (random.next() < 0.03) return Buffer.concat([bytes, Buffer.from(random.pick([' ', '{}', '\0', '\n', ',']))]);
  if (random.next() < 0.05) bytes[Math.floor(random.next() * bytes.length)] = Math.floor(random.next() * 256);
  return bytes;
}

describe('the scanner', () => {
  it('says what JSON.parse says, or nothing, whatever the event', { timeout: 60_000 }, () => {
    const random = seeded(20_261_125);
    let scanned = 0;
    const kinds = new Set<string>();
    const different: unknown[] = [];
    for (let i = 0; i < 60_000; i++) {
      const bytes = eventBytes(random);
      const fast = scanEvent(bytes);
      if (fast === null) continue;
      scanned += 1;
      kinds.add(fast.kind === 'change' ? fast.effects.map(({ operation }) => operation).join('+') : fast.kind);
      const slow = parseChange(bytes);
      if (JSON.stringify(fast) !== JSON.stringify(slow)) different.push({ event: bytes.toString(), fast, slow });
    }
    expect(different).toEqual([]);
    // It would be right and useless if it always said nothing.
    expect(scanned).toBeGreaterThan(3_000);
    expect([...kinds].toSorted()).toEqual(['deleted', 'deleted+inserted', 'inserted', 'nothing', 'updated']);
  });
  it('reads rows that follow each other in one statement as it reads the first', () => {
    const value = (id: string, row: number, more = ''): Buffer =>
      Buffer.from(
        `{"before":null,"after":{"tenant_id":"t","customization_id":"c","example_id":${id},"bucket":7,"created_at":1,"updated_at":1},` +
          '"source":{"version":"3.6.1.Final","connector":"mysql","name":"mw","ts_ms":5,"snapshot":"false","db":"modelwright","sequence":null,' +
          `"ts_us":1,"ts_ns":1,"table":"examples","server_id":1,"gtid":"a:1","file":"binlog.1","pos":4,"row":${row},"thread":17,"query":null},` +
          `"transaction":null,"op":"c","ts_ms":${row},"ts_us":1,"ts_ns":1}${more}`,
      );
    const ids = ['"a"', '"b"', '"é"', '"例え"', '"a,\\"row\\":9"', '"\\\\"', '"a\tb"', '""', '7', '"c"'];
    const events = ids.flatMap((id, i) => [value(id, i), value(id, i, ' '), value(id, i).subarray(0, -1)]);
    const scanned = events.map(scanEvent);
    expect(scanned.map((fast, i) => fast ?? parseChange(events[i] as Buffer))).toEqual(events.map(parseChange));
    expect(ids.filter((_, i) => scanned[i * 3])).toEqual(['"a"', '"b"', '"é"', '"例え"', '""', '"c"']);
    expect(scanned.filter((_, i) => i % 3 !== 0).every((fast) => fast === null)).toBe(true);
  });
  it('leaves ids that are not UTF-8 to JSON.parse, which makes them equal', () => {
    const row = (id: string): string => `{"tenant_id":"t","customization_id":"c","example_id":"${id}","bucket":7}`;
    const value = Buffer.from(
      `{"before":${row('\xfe')},"after":${row('\xff')},"source":{"version":"3","connector":"mysql","name":"mw","ts_ms":5,"snapshot":"false",` +
        '"db":"modelwright","sequence":null,"ts_us":1,"ts_ns":1,"table":"examples","server_id":1,"gtid":"a:1","file":"binlog.1","pos":4,"row":0,' +
        '"thread":17,"query":null},"transaction":null,"op":"u","ts_ms":1,"ts_us":1,"ts_ns":1}',
      'latin1',
    );
    expect(scanEvent(value)).toBeNull();
    expect(decodeChange({ value })).toMatchObject({ effects: [{ operation: 'updated' }] });
    for (const at of [value.indexOf(0xfe), value.indexOf(0xff)]) value[at] = 0x61;
    expect(scanEvent(value)).toMatchObject({ effects: [{ operation: 'updated' }] });
  });
});
