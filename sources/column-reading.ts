import type { Json } from '../core/json.ts';
import { quoted } from './quoting.ts';
import type { TableColumn } from './table-structure.ts';

/** A value as the example has it; undefined: the column is NULL; a problem is a word for the list of exclusions, never the value. */
export type Read = { readonly value: Json | undefined } | { readonly problem: string };

/** How one column becomes one field of the example, without loss. */
export type ColumnReading = {
  /** Expression that gives text, or NULL. */
  readonly sql: string;
  readonly read: (text: string | null) => Read;
  /** Text that may have any length: what is longer than an example may be is not fetched as a whole. */
  readonly long: boolean;
};

/** JSON types that a field of an example schema may have. */
export type FieldType = 'string' | 'number' | 'integer' | 'boolean' | 'array' | 'object';

const integers = ['tinyint', 'smallint', 'mediumint', 'int', 'bigint'];
const characters = ['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext', 'enum', 'set'];
const times = ['date', 'datetime', 'timestamp', 'time', 'year'];
const floats = ['float', 'double'];
const bytes = ['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob', 'bit'];

const asText = (name: string): string => `CAST(${quoted(name)} AS CHAR CHARACTER SET utf8mb4)`;
const integerText = ({ name, unsigned }: TableColumn): string =>
  // Through the number, so that ZEROFILL adds nothing.
  `CAST(CAST(${quoted(name)} AS ${unsigned ? 'UNSIGNED' : 'SIGNED'}) AS CHAR CHARACTER SET utf8mb4)`;

const isInteger = ({ type, scale }: TableColumn): boolean => integers.includes(type) || (type === 'decimal' && scale === 0);

const present =
  (to: (text: string) => Read): ColumnReading['read'] =>
  (text) =>
    text === null ? { value: undefined } : to(text);

/** 1.50 and 1.5 are one number, 1e3 is another spelling that DECIMAL does not have. */
const plainNumber = (text: string): string => {
  const [whole = '', fraction = ''] = text.split('.');
  const kept = fraction.replace(/0+$/, '');
  return kept === '' ? whole : `${whole}.${kept}`;
};

const readJson = present((text) => {
  try {
    return { value: JSON.parse(text) as Json };
  } catch {
    return { problem: 'not_json' };
  }
});

const readNumber = (exact: boolean): ColumnReading['read'] =>
  present((text) => {
    const value = Number(text);
    if (!Number.isFinite(value)) return { problem: 'not_a_number' };
    return exact && plainNumber(String(value)) !== plainNumber(text) ? { problem: 'not_exact' } : { value };
  });

/** The reading of a column for a field of one of these types; a sentence (without the column's name) where it cannot be read exactly. */
export function readingOf(column: TableColumn, wanted: readonly FieldType[]): ColumnReading | { readonly problem: string } {
  const { name, type, fullType } = column;
  if (type === 'json') return { sql: asText(name), read: readJson, long: false };
  if (bytes.includes(type))
    return {
      problem: `is ${fullType}, which holds bytes without a character set: convert it to a text type (CHARACTER SET utf8mb4), or add a generated column such as CONVERT(${quoted(name)} USING utf8mb4)`,
    };
  if (wanted.includes('string')) {
    const read = present((value) => ({ value }));
    if (characters.includes(type)) return { sql: asText(name), read, long: true };
    if (times.includes(type) || type === 'decimal') return { sql: asText(name), read, long: false };
    if (integers.includes(type)) return { sql: integerText(column), read, long: false };
    if (floats.includes(type))
      return { problem: `is ${fullType}, which has no exact text: use DECIMAL, or a generated column that writes it as text` };
  }
  if (wanted.includes('number') || wanted.includes('integer')) {
    if (integers.includes(type)) return { sql: integerText(column), read: readNumber(true), long: false };
    if (type === 'decimal') return { sql: asText(name), read: readNumber(true), long: false };
    // A FLOAT's own text has six digits only.
    if (floats.includes(type))
      return { sql: `CAST(CAST(${quoted(name)} AS DOUBLE) AS CHAR CHARACTER SET utf8mb4)`, read: readNumber(false), long: false };
  }
  if (wanted.includes('boolean') && type === 'tinyint')
    return {
      sql: integerText(column),
      read: present((text) => (text === '0' || text === '1' ? { value: text === '1' } : { problem: 'neither_0_nor_1' })),
      long: false,
    };
  return { problem: `is ${fullType}, which cannot become ${wanted.join(' or ')}` };
}

/** Text of a column that tells rows apart (id) or picks them (filter): the very text that a change event gives for it. */
export function keyTextOf(column: TableColumn): { readonly sql: string } | { readonly problem: string } {
  const { name, type, fullType } = column;
  if (integers.includes(type)) return { sql: integerText(column) };
  if (isInteger(column) || ['char', 'varchar', 'enum'].includes(type)) return { sql: asText(name) };
  if (type === 'decimal') return { problem: `is ${fullType}: only a DECIMAL without digits after the point will do here` };
  return { problem: `is ${fullType}: use an integer, a DECIMAL without digits after the point, CHAR or VARCHAR here` };
}

/** Whether the text is one that such a column can have; where it is not, a comparison would fit other rows. */
export const isValueOf = (column: TableColumn, text: string): boolean => !isInteger(column) || /^(0|-?[1-9][0-9]*)$/.test(text);
