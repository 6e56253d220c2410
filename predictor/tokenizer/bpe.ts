import { z } from 'zod';

const given = z.union([z.null(), z.literal('')]).optional();
const bpeSchema = z.looseObject({
  type: z.literal('BPE'),
  // Hundreds of thousands of entries are not looked at one by one.
  vocab: z.custom<Readonly<Record<string, number>>>((value) => typeof value === 'object' && value !== null),
  merges: z.custom<readonly (string | readonly [string, string])[]>((value) => Array.isArray(value)),
  ignore_merges: z.boolean().default(false),
  byte_fallback: z.literal(false).default(false),
  dropout: z.union([z.null(), z.literal(0)]).optional(),
  continuing_subword_prefix: given,
  end_of_word_suffix: given,
});

/** Ids of the pieces of a word. */
type BytePairs = {
  readonly encode: (word: string) => readonly number[];
  readonly vocab: ReadonlyMap<string, number>;
};

/** Words whose pieces are remembered: most words of a text are common ones. */
const keptWords = 20_000;

/** Merges pairs in the order in which they were learned, the leftmost first, as the tokenizers library does. Throws on what is not supported. */
export function bytePairs(config: unknown): BytePairs {
  const { vocab, merges, ignore_merges: wholeFirst } = bpeSchema.parse(config);
  const ids = new Map(Object.entries(vocab));
  const idOf = (piece: string): number => {
    const id = ids.get(piece);
    if (id === undefined) throw new Error(`tokenizer.json's vocabulary lacks ${JSON.stringify(piece)}, which its merges name`);
    return id;
  };
  const ranks = new Map<string, Merge>();
  for (const [rank, merge] of merges.entries()) {
    const [a = '', b = ''] = typeof merge === 'string' ? merge.split(' ') : merge;
    ranks.set(`${idOf(a)} ${idOf(b)}`, { rank, id: idOf(`${a}${b}`) });
  }
  const known = new Map<string, readonly number[]>();
  return {
    vocab: ids,
    encode: (word) => {
      const found = known.get(word);
      if (found) return found;
      const whole = wholeFirst ? ids.get(word) : undefined;
      const pieces = whole === undefined ? merged(Array.from(word, idOf), ranks) : [whole];
      if (known.size >= keptWords) known.clear();
      known.set(word, pieces);
      return pieces;
    },
  };
}

type Merge = { readonly rank: number; readonly id: number };
/** A merge that was possible when it was put in the queue. */
type Offer = Merge & { readonly at: number };

/** The pieces form a list in which neighbours melt together; the queue keeps a word of n pieces at n log n steps, however long it is. */
function merged(pieces: number[], ranks: ReadonlyMap<string, Merge>): number[] {
  const next = pieces.map((_, i) => (i + 1 < pieces.length ? i + 1 : -1));
  const before = pieces.map((_, i) => i - 1);
  const queue = new OfferQueue();
  const mergeAt = (at: number): Merge | undefined => {
    const then = at < 0 ? -1 : (next[at] as number);
    return then < 0 ? undefined : ranks.get(`${pieces[at]} ${pieces[then]}`);
  };
  const offer = (at: number): void => {
    const merge = mergeAt(at);
    if (merge) queue.push({ ...merge, at });
  };
  for (let at = 0; at + 1 < pieces.length; at++) offer(at);
  for (let best = queue.pop(); best; best = queue.pop()) {
    const { at, id } = best;
    // The neighbours may have melted meanwhile.
    if (pieces[at] === -1 || mergeAt(at)?.id !== id) continue;
    const gone = next[at] as number;
    const after = next[gone] as number;
    pieces[at] = id;
    pieces[gone] = -1;
    next[at] = after;
    if (after >= 0) before[after] = at;
    offer(before[at] as number);
    offer(at);
  }
  return pieces.filter((id) => id !== -1);
}

/** A binary heap: the lowest rank first, of equal ones the leftmost. */
class OfferQueue {
  readonly #items: Offer[] = [];

  static #less(a: Offer, b: Offer): boolean {
    return a.rank < b.rank || (a.rank === b.rank && a.at < b.at);
  }

  push(offer: Offer): void {
    const items = this.#items;
    let at = items.push(offer) - 1;
    for (let parent = (at - 1) >> 1; at > 0 && OfferQueue.#less(offer, items[parent] as Offer); parent = (at - 1) >> 1) {
      items[at] = items[parent] as Offer;
      at = parent;
    }
    items[at] = offer;
  }

  pop(): Offer | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (top === undefined || last === undefined || items.length === 0) return top;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= items.length) break;
      const right = left + 1;
      const child = right < items.length && OfferQueue.#less(items[right] as Offer, items[left] as Offer) ? right : left;
      if (!OfferQueue.#less(items[child] as Offer, last)) break;
      items[at] = items[child] as Offer;
      at = child;
    }
    items[at] = last;
    return top;
  }
}
