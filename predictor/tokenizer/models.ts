import { z } from 'zod';

/** A token of a word: its id and the code points of the word that it covers. */
export type Piece = { readonly id: number; readonly from: number; readonly to: number };
export type Model = (word: readonly string[]) => Piece[];

const wordPieceSchema = z.looseObject({
  // A quarter of a million entries are not looked at one by one.
  vocab: z.custom<Readonly<Record<string, number>>>((value) => typeof value === 'object' && value !== null),
  unk_token: z.string(),
  continuing_subword_prefix: z.string().default('##'),
  max_input_chars_per_word: z.number().default(100),
});
const unigramSchema = z.looseObject({
  vocab: z.custom<readonly (readonly [string, number])[]>((value) => Array.isArray(value) && value.length > 0),
  unk_id: z.number(),
  byte_fallback: z.literal(false).default(false),
});
/** What an unknown character costs below the least likely piece. */
const unknownPenalty = 10;

/** The model of a tokenizer.json. */
export function modelOf(config: unknown): Model {
  const { type } = z.looseObject({ type: z.string() }).parse(config);
  if (type === 'WordPiece') return wordPiece(wordPieceSchema.parse(config));
  if (type === 'Unigram') return unigram(unigramSchema.parse(config));
  throw new Error(`tokenizer.json has the model ${type}, which is not supported`);
}

/** The longest piece that is known, again and again; a word with a part that is not is unknown as a whole. */
function wordPiece({
  vocab,
  unk_token,
  continuing_subword_prefix: prefix,
  max_input_chars_per_word,
}: z.infer<typeof wordPieceSchema>): Model {
  const ids = new Map(Object.entries(vocab));
  const unknown = ids.get(unk_token);
  if (unknown === undefined) throw new Error(`tokenizer.json's vocabulary lacks its unknown token ${unk_token}`);
  return (word) => {
    const whole = [{ id: unknown, from: 0, to: word.length }];
    if (word.length > max_input_chars_per_word) return whole;
    const pieces: Piece[] = [];
    for (let from = 0; from < word.length;) {
      let to = word.length;
      let id: number | undefined;
      for (; to > from; to--) {
        id = ids.get(`${from > 0 ? prefix : ''}${word.slice(from, to).join('')}`);
        if (id !== undefined) break;
      }
      if (id === undefined) return whole;
      pieces.push({ id, from, to });
      from = to;
    }
    return pieces;
  };
}

/** The most likely cut into pieces (Viterbi); unknown characters that follow one another are one token. */
function unigram({ vocab, unk_id: unknown }: z.infer<typeof unigramSchema>): Model {
  const ids = new Map(vocab.map(([piece], id) => [piece, id]));
  const scores = Float64Array.from(vocab, ([, score]) => score);
  const longest = vocab.reduce((most, [piece]) => Math.max(most, Array.from(piece).length), 1);
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - unknownPenalty;
  return (word) => {
    const { length } = word;
    const best = new Float64Array(length + 1);
    const from = new Int32Array(length + 1).fill(-1);
    const id = new Int32Array(length + 1);
    const offer = (end: number, score: number, start: number, piece: number): void => {
      if (from[end] !== -1 && score <= (best[end] as number)) return;
      best[end] = score;
      from[end] = start;
      id[end] = piece;
    };
    for (let start = 0; start < length; start++) {
      const before = best[start] as number;
      let text = '';
      let single = false;
      for (let end = start + 1; end <= length && end - start <= longest; end++) {
        text += word[end - 1] as string;
        const piece = ids.get(text);
        if (piece === undefined) continue;
        offer(end, (scores[piece] as number) + before, start, piece);
        if (end === start + 1) single = true;
      }
      if (!single) offer(start + 1, unknownScore + before, start, unknown);
    }
    const pieces: Piece[] = [];
    for (let to = length; to > 0;) {
      const start = from[to] as number;
      const piece = id[to] as number;
      const last = pieces.at(-1);
      if (piece === unknown && last?.id === unknown) pieces[pieces.length - 1] = { ...last, from: start };
      else pieces.push({ id: piece, from: start, to });
      to = start;
    }
    return pieces.reverse();
  };
}
