import type { Renames } from '../../../core/structure-change.ts';
import { type Token, tokens } from './ddl-tokens.ts';

/** A table as a statement names it; without a database it is the session's. */
export type TableName = { readonly database: string | null; readonly table: string };

/** What the text of a statement adds to the structures: names that changed, and rows that left without a row event. */
export type DdlStatement =
  | { readonly kind: 'rename_tables'; readonly pairs: readonly { readonly from: TableName; readonly to: TableName }[] }
  | {
      readonly kind: 'alter';
      readonly table: TableName;
      readonly renamedTo: TableName | null;
      readonly columns: Renames;
      readonly rowsRemoved: boolean;
    }
  | { readonly kind: 'truncate'; readonly table: TableName }
  | { readonly kind: 'drop_tables'; readonly tables: readonly TableName[] }
  | { readonly kind: 'drop_database'; readonly database: string }
  | { readonly kind: 'other' };

/** A place in a list of tokens. Keywords are words without quotes, whatever their case. */
class Reader {
  readonly #tokens: readonly Token[];
  #at = 0;
  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  /** Takes the keyword if it is next. */
  word(...keywords: readonly string[]): boolean {
    const next = this.#tokens[this.#at];
    if (next?.kind !== 'word' || !keywords.includes(next.text.toUpperCase())) return false;
    this.#at += 1;
    return true;
  }
  mark(text: string): boolean {
    const next = this.#tokens[this.#at];
    if (next?.kind !== 'mark' || next.text !== text) return false;
    this.#at += 1;
    return true;
  }
  /** A column, or one part of a table's name. With ANSI_QUOTES a name stands between double quotes. */
  name(): string | null {
    const next = this.#tokens[this.#at];
    if (!next || next.kind === 'mark') return null;
    this.#at += 1;
    return next.text;
  }
  table(): TableName | null {
    const first = this.name();
    if (first === null) return null;
    if (!this.mark('.')) return { database: null, table: first };
    const second = this.name();
    return second === null ? null : { database: first, table: second };
  }
  tables(): TableName[] {
    const list: TableName[] = [];
    do {
      const table = this.table();
      if (table) list.push(table);
    } while (this.mark(','));
    return list;
  }
  ifExists(): void {
    if (this.word('IF')) {
      this.word('NOT');
      this.word('EXISTS');
    }
  }
  /** The rest, cut at commas outside parentheses. */
  clauses(): Token[][] {
    const clauses: Token[][] = [[]];
    let depth = 0;
    for (const token of this.#tokens.slice(this.#at)) {
      if (token.kind === 'mark' && token.text === '(') depth += 1;
      if (token.kind === 'mark' && token.text === ')') depth -= 1;
      if (token.kind === 'mark' && token.text === ',' && depth === 0) clauses.push([]);
      else clauses.at(-1)?.push(token);
    }
    return clauses;
  }
}

const other: DdlStatement = { kind: 'other' };

/** Understands the statements that change names or remove rows; everything else is `other`, and its structure says what it did. */
export function parseDdl(sql: string): DdlStatement {
  const reader = new Reader(tokens(sql));
  if (reader.word('RENAME')) return reader.word('TABLE', 'TABLES') ? renameTables(reader) : other;
  if (reader.word('TRUNCATE')) {
    reader.word('TABLE');
    const table = reader.table();
    return table ? { kind: 'truncate', table } : other;
  }
  if (reader.word('DROP')) return drop(reader);
  if (!reader.word('ALTER')) return other;
  reader.word('ONLINE', 'OFFLINE');
  reader.word('IGNORE');
  if (!reader.word('TABLE')) return other;
  reader.ifExists();
  const table = reader.table();
  return table ? alter(table, reader.clauses()) : other;
}

function renameTables(reader: Reader): DdlStatement {
  const pairs: { from: TableName; to: TableName }[] = [];
  do {
    reader.ifExists();
    const from = reader.table();
    const to = reader.word('TO') ? reader.table() : null;
    if (!from || !to) return other;
    pairs.push({ from, to });
  } while (reader.mark(','));
  return { kind: 'rename_tables', pairs };
}

function drop(reader: Reader): DdlStatement {
  if (reader.word('DATABASE', 'SCHEMA')) {
    reader.ifExists();
    const database = reader.name();
    return database === null ? other : { kind: 'drop_database', database };
  }
  // A temporary table is nobody's source.
  if (!reader.word('TABLE', 'TABLES')) return other;
  reader.ifExists();
  return { kind: 'drop_tables', tables: reader.tables() };
}

function alter(table: TableName, clauses: readonly (readonly Token[])[]): DdlStatement {
  const columns: Record<string, string> = {};
  let renamedTo: TableName | null = null;
  let rowsRemoved = false;
  for (const clause of clauses) {
    const reader = new Reader(clause);
    if (reader.word('CHANGE')) {
      reader.word('COLUMN');
      reader.ifExists();
      const [from, to] = [reader.name(), reader.name()];
      if (from !== null && to !== null && from !== to) columns[from] = to;
    } else if (reader.word('RENAME')) {
      if (reader.word('COLUMN')) {
        const from = reader.name();
        const to = reader.word('TO') ? reader.name() : null;
        if (from !== null && to !== null) columns[from] = to;
      } else if (!reader.word('INDEX', 'KEY')) {
        if (!reader.word('TO', 'AS')) reader.mark('=');
        renamedTo = reader.table() ?? renamedTo;
      }
    } else if (reader.word('TRUNCATE', 'DROP', 'EXCHANGE')) rowsRemoved ||= reader.word('PARTITION');
    else if (reader.word('IMPORT', 'DISCARD')) {
      // `IMPORT TABLESPACE`, `IMPORT PARTITION p TABLESPACE`: whatever files hold.
      rowsRemoved ||= reader.word('TABLESPACE', 'PARTITION');
    }
  }
  return { kind: 'alter', table, renamedTo, columns, rowsRemoved };
}
