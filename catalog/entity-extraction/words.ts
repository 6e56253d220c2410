/**
 * Words, tags and spans of a text. Offsets are Unicode code points. The rules are those of trainer/modelwright_trainer/words.py, and words.json
 * holds examples that both are tested with:
 * - A word is a run without spaces; an ideograph, kana or hangul character, a punctuation mark, a sign and an emoji is a word of its own.
 * - A word's tag is that of the first token that begins in it; a token begins at its first character that is no space.
 * - A word in which no token begins, because a token of the word before reaches into it, goes on as that word. A word behind the last token is O.
 * - Tags are decoded greedily; an I- without its like before it opens a span. A span's score is the mean over its words.
 */
export type Span = { readonly start: number; readonly end: number };
export type ScoredSpan = Span & { readonly label: string; readonly score: number };

/** Scripts that write no spaces between words, or syllables as characters. */
const alone: readonly (readonly [first: number, last: number])[] = [
  [0x1100, 0x11ff],
  [0x2e80, 0x2fdf],
  [0x3005, 0x3007],
  [0x3021, 0x3029],
  [0x3031, 0x3035],
  [0x3038, 0x303b],
  [0x3041, 0x30ff],
  [0x3105, 0x318f],
  [0x31a0, 0x31bf],
  [0x31f0, 0x31ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa960, 0xa97f],
  [0xac00, 0xd7ff],
  [0xf900, 0xfaff],
  [0xff66, 0xffdc],
  [0x16fe0, 0x18dff],
  [0x1aff0, 0x1b16f],
  [0x20000, 0x3fffd],
];
const space = /[\t\n\v\f\r\p{Z}]/u;
const sign = /[\p{P}\p{S}]/u;

function standsAlone(char: string): boolean {
  const point = char.codePointAt(0) ?? 0;
  return sign.test(char) || alone.some(([first, last]) => first <= point && point <= last);
}

export function wordsOf(text: string): Span[] {
  const words: Span[] = [];
  const points = Array.from(text);
  let start = -1;
  points.forEach((char, at) => {
    const own = standsAlone(char);
    const between = space.test(char);
    if (start >= 0 && (own || between)) {
      words.push({ start, end: at });
      start = -1;
    }
    if (own) words.push({ start: at, end: at + 1 });
    else if (start < 0 && !between) start = at;
  });
  if (start >= 0) words.push({ start, end: points.length });
  return words;
}

/** A word of which nothing was read: it lies behind the last token. */
export const unread = -1;
/** A word that is part of a token which begins in a word before. */
export const carried = -2;

/** For each word the number of the first token that begins in it, or else `unread` or `carried`. */
export function speakersOf(words: readonly Span[], tokens: readonly Span[]): number[] {
  const wordAt = new Map(
    words.flatMap(({ start, end }, word) => Array.from({ length: end - start }, (_, i) => [start + i, word] as const)),
  );
  const found = words.map(() => unread);
  tokens.forEach(({ start, end }, token) => {
    const covered: number[] = [];
    for (let at = start; at < end; at++) {
      const word = wordAt.get(at);
      if (word !== undefined) covered.push(word);
    }
    const [first, ...rest] = covered;
    if (first === undefined) return;
    if ((found[first] as number) < 0) found[first] = token;
    for (const word of rest) if (found[word] === unread) found[word] = carried;
  });
  return found;
}

export function spansOf(words: readonly Span[], tags: readonly string[], scores: readonly number[]): ScoredSpan[] {
  const spans: { start: number; end: number; label: string; scores: number[] }[] = [];
  let before = 'O';
  words.forEach(({ start, end }, i) => {
    const tag = tags[i] ?? 'O';
    const open = spans.at(-1);
    if (tag !== 'O') {
      if (tag.startsWith('I') && open && before !== 'O' && before.slice(2) === tag.slice(2)) {
        open.end = end;
        open.scores.push(scores[i] ?? 0);
      } else spans.push({ start, end, label: tag.slice(2), scores: [scores[i] ?? 0] });
    }
    before = tag;
  });
  return spans.map(({ scores: of, ...span }) => ({ ...span, score: of.reduce((sum, score) => sum + score, 0) / of.length }));
}
