import { z } from 'zod';
import { alignedText } from './aligned-text.ts';
import { bytePairs } from './bpe.ts';
import { byteLevelWords, bytesOfPiece } from './byte-level.ts';
import { normalizerOf } from './normalizers.ts';
import { specialTokensOf } from './special-tokens.ts';

/** The tokenizer of a causal language model: text to ids and back. Nothing is put around a text. */
export type ChatTokenizer = {
  /** `special`: whether special tokens that the text spells out are read as such; else they are plain text. */
  readonly encode: (text: string, special: boolean) => number[];
  /** Special tokens say nothing; bytes that are no UTF-8 become U+FFFD. */
  readonly decode: (ids: readonly number[]) => string;
};

const tokenizerSchema = z.looseObject({
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  model: z.unknown(),
  added_tokens: z
    .array(
      z.looseObject({
        id: z.number(),
        content: z.string(),
        lstrip: z.boolean().default(false),
        rstrip: z.boolean().default(false),
        special: z.boolean().default(false),
      }),
    )
    .default([]),
});

/** A tokenizer out of a tokenizer.json with byte-level BPE. Throws on any other. */
export function loadChatTokenizer(json: Buffer): ChatTokenizer {
  const parsed = tokenizerSchema.parse(JSON.parse(json.toString('utf8')));
  const normalize = normalizerOf(parsed.normalizer);
  const words = byteLevelWords(parsed.pre_tokenizer);
  const pairs = bytePairs(parsed.model);
  const withSpecial = specialTokensOf(parsed.added_tokens);
  const withoutSpecial = specialTokensOf(parsed.added_tokens.filter(({ special }) => !special));
  const bytesOf = new Map<number, Uint8Array>();
  for (const [piece, id] of pairs.vocab) {
    const bytes = bytesOfPiece(piece);
    if (bytes) bytesOf.set(id, bytes);
  }
  for (const { id, content, special } of parsed.added_tokens) bytesOf.set(id, special ? new Uint8Array() : Buffer.from(content));
  return {
    encode: (text, special) =>
      (special ? withSpecial : withoutSpecial)(Array.from(text.toWellFormed())).flatMap((part): readonly number[] =>
        part.id !== null ? [part.id] : words(normalize(alignedText(part.chars, 0)).chars.join('')).flatMap(pairs.encode),
      ),
    decode: (ids) => Buffer.concat(ids.map((id) => bytesOf.get(id) ?? new Uint8Array())).toString('utf8'),
  };
}
