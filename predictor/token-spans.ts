/** What of the tokenizer tells where tokens lie; that of @huggingface/tokenizers gives no offsets. */
export type TokenNames = {
  readonly normalize: (text: string) => string;
  /** Special and other added tokens, which stand for their own text. */
  readonly added: ReadonlySet<string>;
  /** The name of what is not in the vocabulary. */
  readonly unknown: string | undefined;
};

export type TokenSpan = { readonly start: number; readonly end: number };

const white = /\s/u;
const mark = /\p{M}/u;
/** Where a word ends as BERT's pre-tokenizer cuts it: an unknown token of a word-piece vocabulary reaches so far. */
const boundary = /[\s\p{P}$+<=>^`|~\p{Script=Han}]/u;
/** A letter with more marks than this is not taken apart exactly. */
const maxJoined = 8;

/** A letter of the normalised text, and the code points that it came from. */
type Letter = TokenSpan & { readonly text: string };

const lettersIn = (text: string): string[] => Array.from(text).filter((letter) => !white.test(letter));

/** The normalised text letter by letter, without white space. */
function letters(points: readonly string[], normalize: TokenNames['normalize']): Letter[] {
  const whole = lettersIn(normalize(points.join('')));
  const found: Letter[] = [];
  for (let at = 0; at < points.length && found.length < whole.length;) {
    let width = 1;
    // Mostly one code point becomes what it becomes alone; marks may join with what is before them.
    for (; ; width++) {
      const alone = lettersIn(normalize(points.slice(at, at + width).join('')));
      if (alone.every((text, k) => whole[found.length + k] === text)) {
        for (const text of alone) found.push({ text, start: at, end: at + width });
        break;
      }
      if (width === maxJoined || !mark.test(points[at + width] ?? '')) break;
    }
    at += width;
  }
  return found;
}

/** The part of a token's name that stands for text: without `##` and `▁`. */
const surface = (token: string): string => token.replace(/^##(?=.)/u, '').replaceAll('▁', '');

/**
 * Where each token lies in the text, in code points; null for tokens that stand for no text, such as [CLS]. `tokens` are those of the whole text
 * in their order, or the first of them.
 */
export function tokenSpans(text: string, tokens: readonly string[], names: TokenNames): (TokenSpan | null)[] {
  const points = Array.from(text);
  const stream = letters(points, names.normalize);
  let at = 0;
  const take = (count: number): TokenSpan | null => {
    const [first, last] = [stream[at], stream[at + count - 1] ?? stream.at(-1)];
    at += count;
    return first && last && count > 0 ? { start: first.start, end: last.end } : null;
  };
  return tokens.map((token, i) => {
    if (token === names.unknown) return take(unknownLength(stream, at, points));
    if (names.added.has(token)) {
      // At the ends it is the tokenizer's own; elsewhere somebody wrote it.
      const written = lettersIn(names.normalize(token));
      const isThere = written.every((letter, k) => stream[at + k]?.text === letter);
      return i > 0 && i < tokens.length - 1 && isThere ? take(written.length) : null;
    }
    const count = Array.from(surface(token)).length;
    if (count > 0) return take(count);
    // A lone ▁ is the white space before a letter, and the trainer's tokenizer gives it the place of that letter.
    const next = stream[at];
    return next ? { start: next.start, end: next.start + 1 } : null;
  });
}

function unknownLength(stream: readonly Letter[], from: number, points: readonly string[]): number {
  const first = stream[from];
  if (!first) return 0;
  let end = from + 1;
  if (boundary.test(first.text)) return 1;
  for (let letter = stream[end]; letter; letter = stream[++end]) {
    const before = stream[end - 1]?.end ?? 0;
    // White space between the two, which the stream leaves out.
    if (boundary.test(letter.text) || points.slice(before, letter.start).some((point) => white.test(point))) break;
  }
  return end - from;
}
