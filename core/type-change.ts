import type { Column } from './table-structure.ts';

export type TypeChange = 'same' | 'widened' | 'narrowed' | 'charset';

const integerBytes: Readonly<Record<string, number>> = { tinyint: 1, smallint: 2, mediumint: 3, int: 4, bigint: 8 };
/** Decimal digits that every value of so many bytes fits into. */
const integerDigits: Readonly<Record<string, number>> = { tinyint: 3, smallint: 5, mediumint: 8, int: 10, bigint: 20 };
const blobBytes: Readonly<Record<string, number>> = { tiny: 255, '': 65_535, medium: 16_777_215, long: 4_294_967_295 };
const charsetBytes: Readonly<Record<string, number>> = {
  utf8mb4: 4,
  utf8mb3: 3,
  ucs2: 2,
  utf16: 4,
  utf32: 4,
  gbk: 2,
  big5: 2,
  sjis: 2,
  gb18030: 4,
};

type Size = { readonly family: 'text' | 'bytes'; readonly characters: number; readonly bytes: number };

/** What a string or byte column holds at most; null for other types. */
function sizeOf({ type, length, charset, values }: Column): Size | null {
  const perCharacter = charset === null ? 4 : (charsetBytes[charset] ?? 1);
  if (type === 'varchar' || type === 'char') return { family: 'text', characters: length ?? 0, bytes: (length ?? 0) * perCharacter };
  if (type === 'varbinary' || type === 'binary') return { family: 'bytes', characters: length ?? 0, bytes: length ?? 0 };
  if (type === 'enum') {
    const longest = Math.max(0, ...(values ?? []).map((value) => value.length));
    return { family: 'text', characters: longest, bytes: longest * perCharacter };
  }
  const big = /^(tiny|medium|long|)(text|blob)$/.exec(type);
  const bytes = big ? (blobBytes[big[1] ?? ''] ?? 0) : 0;
  return big ? { family: big[2] === 'text' ? 'text' : 'bytes', characters: bytes, bytes } : null;
}

const wider = (yes: boolean): TypeChange => (yes ? 'widened' : 'narrowed');

function stringChange(before: Column, after: Column, from: Size, to: Size): TypeChange {
  if (from.family !== to.family) return 'narrowed';
  if (after.type === 'enum') return wider(before.type === 'enum' && (before.values ?? []).every((value, i) => after.values?.[i] === value));
  // CHAR loses trailing spaces that VARCHAR and TEXT keep.
  if (after.type === 'char' && before.type !== 'char') return 'narrowed';
  const variable = (column: Column): boolean => column.type === 'varchar' || column.type === 'char';
  if (variable(before) && variable(after)) return wider(to.characters >= from.characters);
  return wider(to.bytes >= from.bytes);
}

function numberChange(before: Column, after: Column): TypeChange | null {
  const [from, fromUnsigned = ''] = before.type.split(' ');
  const [to, toUnsigned = ''] = after.type.split(' ');
  const fromBytes = integerBytes[from ?? ''];
  const toBytes = integerBytes[to ?? ''];
  if (fromBytes !== undefined && toBytes !== undefined) {
    if (fromUnsigned === toUnsigned) return wider(toBytes >= fromBytes);
    return wider(fromUnsigned !== '' && toBytes > fromBytes);
  }
  const wholeBefore = from === 'decimal' ? (before.length ?? 0) - (before.scale ?? 0) : (integerDigits[from ?? ''] ?? null);
  if (to === 'decimal' && wholeBefore !== null) {
    const whole = (after.length ?? 0) - (after.scale ?? 0);
    const signed = fromUnsigned === toUnsigned || fromUnsigned !== '';
    return wider(signed && whole >= wholeBefore && (after.scale ?? 0) >= (before.scale ?? 0));
  }
  if (to === 'double' && from === 'float') return wider(fromUnsigned === toUnsigned || fromUnsigned !== '');
  return null;
}

/** Whether a column of a new type still holds every value of the old one, unchanged. In doubt: no. */
export function typeChange(before: Column, after: Column): TypeChange {
  const same =
    before.type === after.type &&
    before.length === after.length &&
    before.scale === after.scale &&
    JSON.stringify(before.values) === JSON.stringify(after.values);
  const charset = before.charset !== null && after.charset !== null && before.charset !== after.charset;
  const kind = same ? 'same' : typeOf(before, after);
  if (kind === 'narrowed') return kind;
  if (charset) return 'charset';
  // NOT NULL on a server that is not strict turns NULLs into empty values.
  if (before.nullable && !after.nullable) return 'narrowed';
  return kind === 'same' && !before.nullable && after.nullable ? 'widened' : kind;
}

function typeOf(before: Column, after: Column): TypeChange {
  const from = sizeOf(before);
  const to = sizeOf(after);
  if (from && to) return stringChange(before, after, from, to);
  const number = numberChange(before, after);
  if (number) return number;
  if (before.type === after.type && ['datetime', 'timestamp', 'time', 'bit'].includes(before.type))
    return wider((after.length ?? 0) >= (before.length ?? 0));
  if (before.type === 'set' && after.type === 'set') return wider((before.values ?? []).every((value, i) => after.values?.[i] === value));
  return 'narrowed';
}
