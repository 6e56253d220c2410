export type Token =
  | { readonly kind: 'word' | 'quoted' | 'string'; readonly text: string }
  | { readonly kind: 'mark'; readonly text: string };

const wordCharacter = /[\p{L}\p{N}_$]/u;

/** Reads up to the closing quote; a doubled one is the character itself. Returns the content and where to go on. */
function quoted(sql: string, from: number): { readonly text: string; readonly end: number } {
  const quote = sql[from] ?? '';
  const escapes = quote !== '`';
  let text = '';
  let at = from + 1;
  for (; at < sql.length; at += 1) {
    const character = sql[at] ?? '';
    if (escapes && character === '\\') {
      text += sql[at + 1] ?? '';
      at += 1;
    } else if (character === quote) {
      if (sql[at + 1] !== quote) return { text, end: at + 1 };
      text += quote;
      at += 1;
    } else text += character;
  }
  return { text, end: at };
}

/** Words, quoted names, strings and marks of one statement. Comments are skipped; what a versioned comment holds is part of the statement. */
export function tokens(sql: string): Token[] {
  const found: Token[] = [];
  let versioned = false;
  let at = 0;
  const lineEnd = (): number => {
    const end = sql.indexOf('\n', at);
    return end < 0 ? sql.length : end + 1;
  };
  while (at < sql.length) {
    const character = sql[at] ?? '';
    const pair = sql.slice(at, at + 2);
    if (/\s/.test(character)) at += 1;
    else if (character === '#' || (pair === '--' && /^\s?$/.test(sql[at + 2] ?? ''))) at = lineEnd();
    else if (versioned && pair === '*/') {
      versioned = false;
      at += 2;
    } else if (pair === '/*') {
      const opening = /^\/\*M?!\d*/.exec(sql.slice(at, at + 12))?.[0];
      const end = sql.indexOf('*/', at + 2);
      if (opening) {
        versioned = true;
        at += opening.length;
      } else at = end < 0 ? sql.length : end + 2;
    } else if (character === '`' || character === '"' || character === "'") {
      const { text, end } = quoted(sql, at);
      found.push({ kind: character === '`' ? 'quoted' : 'string', text });
      at = end;
    } else if (wordCharacter.test(character)) {
      let end = at;
      while (end < sql.length && wordCharacter.test(sql[end] ?? '')) end += 1;
      found.push({ kind: 'word', text: sql.slice(at, end) });
      at = end;
    } else {
      found.push({ kind: 'mark', text: character });
      at += 1;
    }
  }
  return found;
}
