import { describe, expect, it } from 'vitest';
import { schemaPolicies } from './schema-change.ts';
import { effectOf, judge, sentence, structureChanges } from './structure-change.ts';
import { type Column, column } from './table-structure.ts';
import { typeChange } from './type-change.ts';

/** `varchar(10) utf8mb4 null` and the like. */
function typed(text: string, name = 'body'): Column {
  const match = /^([a-z]+(?: unsigned)?)(?:\((\d+)(?:,(\d+))?\))?(?: (utf8mb4|latin1))?( null)?$/.exec(text);
  const members = /^enum\((.+)\)( null)?$/.exec(text);
  if (members)
    return column({
      name,
      type: 'enum',
      length: 1,
      scale: null,
      charset: 'utf8mb4',
      nullable: Boolean(members[2]),
      values: (members[1] ?? '').split(','),
    });
  if (!match) throw new Error(text);
  const [, type = '', length, scale, charset = null, nullable] = match;
  return column({
    name,
    type,
    length: length ? Number(length) : null,
    scale: scale ? Number(scale) : null,
    charset,
    nullable: Boolean(nullable),
  });
}

describe('a column of another type', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['varchar(20) utf8mb4', 'varchar(40) utf8mb4', 'widened'],
    ['varchar(40) utf8mb4', 'varchar(20) utf8mb4', 'narrowed'],
    ['varchar(40) utf8mb4', 'varchar(40) latin1', 'charset'],
    ['varchar(40) latin1', 'varchar(80) utf8mb4', 'charset'],
    ['varchar(40) latin1', 'varchar(20) utf8mb4', 'narrowed'],
    ['varchar(200)', 'text', 'widened'],
    ['varchar(20000) utf8mb4', 'text utf8mb4', 'narrowed'],
    ['text', 'mediumtext', 'widened'],
    ['mediumtext', 'text', 'narrowed'],
    ['text', 'blob', 'narrowed'],
    ['char(10)', 'varchar(10)', 'widened'],
    ['varchar(10)', 'char(10)', 'narrowed'],
    ['int', 'bigint', 'widened'],
    ['bigint', 'int', 'narrowed'],
    ['int', 'int unsigned', 'narrowed'],
    ['int unsigned', 'bigint', 'widened'],
    ['int unsigned', 'int', 'narrowed'],
    ['int(11)', 'int', 'same'],
    ['integer', 'int(10)', 'same'],
    ['boolean', 'tinyint(1)', 'same'],
    ['int', 'decimal(10,0)', 'widened'],
    ['int', 'decimal(10,2)', 'narrowed'],
    ['decimal(10,2)', 'decimal(12,2)', 'widened'],
    ['decimal(10,2)', 'decimal(10,3)', 'narrowed'],
    ['int', 'varchar(20)', 'narrowed'],
    ['float', 'double', 'widened'],
    ['double', 'float', 'narrowed'],
    ['datetime', 'datetime(3)', 'widened'],
    ['datetime(3)', 'datetime', 'narrowed'],
    ['date', 'datetime', 'narrowed'],
    ['enum(a,b)', 'enum(a,b,c)', 'widened'],
    ['enum(a,b,c)', 'enum(a,b)', 'narrowed'],
    ['enum(a,b)', 'enum(b,a)', 'narrowed'],
    ['enum(a,b)', 'varchar(10)', 'widened'],
    ['varchar(10)', 'enum(a,b)', 'narrowed'],
    ['varchar(10)', 'varchar(10) null', 'widened'],
    ['varchar(10) null', 'varchar(10)', 'narrowed'],
    ['varchar(10) null', 'varchar(20)', 'narrowed'],
    ['json', 'json', 'same'],
    ['json', 'text', 'narrowed'],
  ];
  for (const [from, to, wanted] of cases)
    it(`${from} to ${to} is ${wanted}`, () => expect(typeChange(typed(from), typed(to))).toBe(wanted));

  it('is the same where the log does not tell its character set', () => {
    const unknown = { ...typed('varchar(10) latin1'), charset: null };
    expect(typeChange(unknown, typed('varchar(10) utf8mb4'))).toBe('same');
  });
});

const before = [
  typed('bigint unsigned', 'id'),
  typed('varchar(200) utf8mb4', 'body'),
  typed('varchar(20) utf8mb4 null', 'label'),
  typed('int', 'shop'),
];
const mapped = ['id', 'body', 'label'];
const without = (name: string) => before.filter((column) => column.name !== name);
const kinds = (...args: Parameters<typeof structureChanges>) => structureChanges(...args).map(({ kind }) => kind);

describe('a change of a structure', () => {
  it('is none where columns only moved or changed the case of their names', () => {
    expect(structureChanges(before, [...before].reverse(), mapped)).toEqual([]);
    expect(structureChanges(before, [...without('body'), typed('varchar(200) utf8mb4', 'BODY')], mapped)).toEqual([]);
  });

  it('tells mapped columns from the others', () => {
    expect(kinds(before, without('shop'), mapped)).toEqual(['other']);
    expect(kinds(before, without('label'), mapped)).toEqual(['column_dropped']);
    expect(kinds(before, [...before, typed('int', 'extra')], mapped)).toEqual(['column_added']);
    expect(kinds(before, [...before, typed('int', 'extra')], [...mapped, 'extra'])).toEqual(['mapped_column_added']);
    expect(kinds(before, [...without('shop'), typed('bigint', 'shop')], mapped)).toEqual(['other']);
    expect(kinds(before, before, [...mapped, 'nowhere'])).toEqual(['column_dropped']);
  });

  it('is a rename only if the statement said so', () => {
    const after = [...without('body'), typed('varchar(200) utf8mb4', 'text')];
    expect(kinds(before, after, mapped, { body: 'text' })).toEqual(['column_renamed']);
    expect(kinds(before, after, mapped)).toEqual(['column_dropped', 'column_added']);
    expect(kinds(before, [...without('body'), typed('varchar(50) utf8mb4', 'text')], mapped, { BODY: 'text' })).toEqual([
      'column_renamed',
      'type_narrowed',
    ]);
    expect(kinds(before, [...without('shop'), typed('int', 'store')], mapped, { shop: 'store' })).toEqual(['other']);
  });

  it('sees through a name that is given on within one statement', () => {
    const kept = typed('varchar(20) utf8mb4 null', 'kept');
    const anew = typed('varchar(20) utf8mb4 null', 'label');
    // RENAME COLUMN label TO kept, ADD COLUMN label: the values are elsewhere now.
    expect(kinds(before, [...without('label'), kept, anew], mapped, { label: 'kept' })).toEqual(['column_renamed', 'mapped_column_added']);
    // DROP COLUMN body, CHANGE label body.
    const taken = [...before.filter(({ name }) => name !== 'body' && name !== 'label'), typed('varchar(200) utf8mb4', 'body')];
    expect(kinds(before, taken, mapped, { label: 'body' })).toEqual(['column_dropped', 'column_renamed', 'type_narrowed']);
    // RENAME COLUMN body TO label, RENAME COLUMN label TO body.
    const swapped = [
      typed('bigint unsigned', 'id'),
      typed('varchar(200) utf8mb4', 'label'),
      typed('varchar(20) utf8mb4 null', 'body'),
      typed('int', 'shop'),
    ];
    expect(kinds(before, swapped, mapped, { body: 'label', label: 'body' })).toEqual(['column_renamed', 'column_renamed']);
    // A column that takes the name of a mapped one that was missing.
    const missing = [...without('label'), kept];
    expect(kinds(missing, [...without('label'), anew], mapped, { kept: 'label' })).toEqual(['mapped_column_added']);
    // CHANGE body BODY: the same name.
    expect(kinds(before, [...without('body'), typed('varchar(200) utf8mb4', 'BODY')], mapped, { body: 'BODY' })).toEqual([]);
  });

  it('has the effects of the design under each policy', () => {
    const effects = (kind: Parameters<typeof effectOf>[0]['kind'], rowsRemoved = false) =>
      schemaPolicies.map((policy) => {
        const { effect, retrain } = effectOf({ kind, rowsRemoved }, policy);
        return retrain ? `${effect}+run` : effect;
      });
    //                                     hold        adopt       adopt_and_retrain  ignore
    expect(effects('column_added')).toEqual(['recorded', 'recorded', 'recorded', 'recorded']);
    expect(effects('type_widened')).toEqual(['recorded', 'recorded', 'recorded', 'recorded']);
    expect(effects('other')).toEqual(['recorded', 'recorded', 'recorded', 'recorded']);
    expect(effects('other', true)).toEqual(['rebuild', 'rebuild', 'rebuild', 'rebuild']);
    expect(effects('mapped_column_added')).toEqual(['rebuild', 'rebuild', 'rebuild+run', 'recorded']);
    for (const kind of ['type_narrowed', 'charset_changed'] as const)
      expect(effects(kind)).toEqual(['held', 'rebuild', 'rebuild+run', 'recorded']);
    expect(effects('column_renamed')).toEqual(['held', 'rebuild', 'rebuild+run', 'held']);
    for (const kind of ['column_dropped', 'table_renamed', 'table_truncated', 'table_dropped'] as const)
      expect(effects(kind)).toEqual(['held', 'held', 'held', 'held']);
  });

  it('of several columns has the weightiest effect and says all', () => {
    const after = [...without('label'), typed('int', 'extra')].map((column) =>
      column.name === 'body' ? typed('varchar(100) utf8mb4') : column,
    );
    const judged = judge(structureChanges(before, after, mapped), 'adopt');
    expect(judged).toMatchObject({ kind: 'column_dropped', effect: 'held', retrain: false });
    expect(judged && sentence('shop.reviews', judged)).toBe(
      'shop.reviews: column label was dropped; column body changed from varchar(200) not null to varchar(100) not null; column extra (int) was added: ' +
        'training is held, serving goes on; remap the column, or restore it and approve',
    );
    expect(judge([], 'hold')).toBeNull();
  });
});
