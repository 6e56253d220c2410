/** One column of a table, in words that are the same whether the log or the server told them. */
export type Column = {
  readonly name: string;
  /** Lower case, without length: `varchar`, `int unsigned`, `enum`. */
  readonly type: string;
  /** Characters, bytes, digits or fractional seconds, where the type has them. */
  readonly length: number | null;
  /** Digits after the point of a decimal. */
  readonly scale: number | null;
  /** Null where the type has none, or where the log does not tell. */
  readonly charset: string | null;
  readonly nullable: boolean;
  /** Members of an enum or set. */
  readonly values?: readonly string[];
};

/** Columns of a table in its order. */
export type TableColumns = readonly Column[];

const synonyms: Readonly<Record<string, string>> = {
  integer: 'int',
  int4: 'int',
  int8: 'bigint',
  numeric: 'decimal',
  dec: 'decimal',
  fixed: 'decimal',
  character: 'char',
  'character varying': 'varchar',
  'char varying': 'varchar',
  nchar: 'char',
  nvarchar: 'varchar',
  'national varchar': 'varchar',
  real: 'double',
  'double precision': 'double',
  'long varchar': 'mediumtext',
  'long varbinary': 'mediumblob',
  serial: 'bigint unsigned',
};
/** Types whose length says what they can hold; a display width of an integer says nothing. */
const withLength = new Set(['char', 'varchar', 'binary', 'varbinary', 'decimal', 'bit', 'datetime', 'timestamp', 'time']);
const defaultLength: Readonly<Record<string, number>> = { char: 1, binary: 1, decimal: 10, bit: 1, datetime: 0, timestamp: 0, time: 0 };

/** The one way to write a column: `INTEGER(11) UNSIGNED ZEROFILL`, `int unsigned` and `INT UNSIGNED` are the same. */
export function column(raw: Omit<Column, 'values'> & { readonly values?: readonly string[] | null }): Column {
  const words = raw.type
    .toLowerCase()
    .replaceAll(/\(.*\)/g, '')
    .replaceAll(/\b(zerofill|signed)\b/g, '')
    .split(/\s+/)
    .filter((word) => word !== '');
  const unsigned = words.includes('unsigned');
  const plain = words.filter((word) => word !== 'unsigned').join(' ');
  if (plain === 'bool' || plain === 'boolean') return column({ ...raw, type: 'tinyint' });
  const base = synonyms[plain] ?? plain;
  const type = unsigned && !base.endsWith('unsigned') ? `${base} unsigned` : base;
  const bare = type.replace(' unsigned', '');
  const length = withLength.has(bare) ? (raw.length ?? defaultLength[bare] ?? null) : null;
  const scale = bare === 'decimal' ? (raw.scale ?? 0) : null;
  const charset = raw.charset === null || raw.charset === '' ? null : raw.charset.toLowerCase().replace(/^utf8$/, 'utf8mb3');
  const values = raw.values && raw.values.length > 0 ? { values: raw.values } : {};
  return { name: raw.name, type, length, scale, charset, nullable: raw.nullable, ...values };
}

/** As a person writes it: `varchar(40) utf8mb4`. */
export function columnType({ type, length, scale, values }: Column): string {
  if (values) return `${type} of ${values.length}`;
  if (length === null || (length === 0 && type !== 'decimal')) return type;
  return scale === null || scale === 0 ? `${type}(${length})` : `${type}(${length},${scale})`;
}
