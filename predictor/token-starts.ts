/** What of the tokenizer tells where tokens lie; that of @huggingface/tokenizers gives no offsets. */
export type TokenNames = {
  readonly normalize: (text: string) => string;
  /** Special and other added tokens, which stand for their own text. */
  readonly added: ReadonlySet<string>;
  /** The name of what is not in the vocabulary. */
  readonly unknown: string | undefined;
};

const white = /\s/u;
/** How far an unknown token of a word-piece vocabulary reaches: to the end of the word as BERT's pre-tokenizer cuts it. */
const boundary = /[\s\p{P}$+<=>^`|~\p{Script=Han}]/u;

type Letter = { readonly text: string; readonly at: number };

/** The normalised text letter by letter, without white space: each with the code point of the text that it came from. */
function letters(text: string, normalize: TokenNames['normalize']): Letter[] {
  const points = Array.from(text);
  const whole = Array.from(normalize(text)).filter((letter) => !white.test(letter));
  const found: Letter[] = [];
  for (let at = 0; at < points.length && found.length < whole.length;) {
    let taken = 0;
    // Mostly one code point becomes what it becomes alone; marks join with what is before them.
    for (let width = 1; width <= Math.min(maxJoined, points.length - at); width++) {
      const alone = Array.from(normalize(points.slice(at, at + width).join(''))).filter((letter) => !white.test(letter));
      const next = whole.slice(found.length, found.length + alone.length);
      const following = points[at + width];
      const joins = following !== undefined && /\p{M}/u.test(following);
      if (alone.join('') !== next.join('') || (joins && width < maxJoined)) continue;
      for (const letter of alone) found.push({ text: letter, at });
      taken = width;
      break;
    }
    at += Math.max(1, taken);
  }
  return found;
}
/** A letter with more marks than this is not taken apart exactly. */
const maxJoined = 8;

/** The part of a token's name that stands for text: without `##` and `▁`. */
const surface = (token: string): string => token.replace(/^##(?=.)/u, '').replaceAll('▁', '');

/**
 * Index of the code point of `text` that each token starts at; -1 for tokens that stand for no text, such as [CLS]. The tokens are those of the
 * whole text in their order.
 */
export function tokenStarts(text: string, tokens: readonly string[], names: TokenNames): number[] {
  const stream = letters(text, names.normalize);
  let at = 0;
  return tokens.map((token, i) => {
    if (token === names.unknown) {
      const start = stream[at]?.at ?? -1;
      at = endOfUnknown(stream, at, text);
      return start;
    }
    const name = surface(token);
    const plain = Array.from(name);
    const matches = (wanted: readonly string[]): boolean =>
      wanted.length > 0 && wanted.every((letter, k) => stream[at + k]?.text === letter);
    if (names.added.has(token)) {
      // At the ends it is the tokenizer's own; elsewhere somebody wrote it.
      const written = Array.from(names.normalize(token)).filter((letter) => !white.test(letter));
      if (i === 0 || i === tokens.length - 1 || !matches(written)) return -1;
      const start = stream[at]?.at ?? -1;
      at += written.length;
      return start;
    }
    // A lone ▁ stands for the white space before the next letter: it belongs to no word.
    if (plain.length === 0) return -1;
    const start = stream[at]?.at ?? -1;
    at += plain.length;
    return start;
  });
}

function endOfUnknown(stream: readonly Letter[], from: number, text: string): number {
  const points = Array.from(text);
  const first = stream[from];
  if (!first) return from;
  if (boundary.test(first.text)) return from + 1;
  let end = from + 1;
  for (let letter = stream[end]; letter; letter = stream[++end]) {
    const before = stream[end - 1]?.at ?? 0;
    // White space between the two, which the stream leaves out.
    if (points.slice(before + 1, letter.at).some((point) => white.test(point)) || boundary.test(letter.text)) break;
  }
  return end;
}
