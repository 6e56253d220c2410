import { z } from 'zod';
import { type AlignedText, alignedText } from './aligned-text.ts';
import { modelOf } from './models.ts';
import { normalizerOf } from './normalizers.ts';
import { preTokenizerOf } from './pre-tokenizers.ts';
import { specialTokensOf } from './special-tokens.ts';

/** `offsets`: two numbers a token, begin and end in code points of the text; [0, 0] for tokens that are put around it. */
export type Encoded = { readonly ids: readonly number[]; readonly offsets: readonly (readonly [number, number])[] };

export type TextTokenizer = {
  /** Ids and offsets as the trainer's tokenizer gives them, cut to `maxTokens` with the closing token kept. */
  encode(text: string, maxTokens: number): Encoded;
};

const tokenizerSchema = z.looseObject({
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  post_processor: z.unknown(),
  model: z.unknown(),
  added_tokens: z
    .array(z.looseObject({ id: z.number(), content: z.string(), lstrip: z.boolean().default(false), rstrip: z.boolean().default(false) }))
    .default([]),
});
const templateSchema = z.looseObject({
  type: z.literal('TemplateProcessing'),
  single: z.array(z.union([z.object({ SpecialToken: z.looseObject({ id: z.string() }) }), z.object({ Sequence: z.looseObject({}) })])),
  special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(z.number()) })),
});
const pairSchema = z.looseObject({ cls: z.tuple([z.string(), z.number()]), sep: z.tuple([z.string(), z.number()]) });

/**
 * A tokenizer out of a tokenizer.json, for the encoders that we can compute: WordPiece and Unigram. The library of the same purpose for JavaScript
 * gives no offsets, and other tokens than the trainer's for some Chinese and Greek texts; entities need both exactly.
 */
export function loadTokenizer(json: Buffer): TextTokenizer {
  const parsed = tokenizerSchema.parse(JSON.parse(json.toString('utf8')));
  const normalize = normalizerOf(parsed.normalizer);
  const preTokenize = preTokenizerOf(parsed.pre_tokenizer);
  const model = modelOf(parsed.model);
  const split = specialTokensOf(parsed.added_tokens);
  const { before, after } = aroundOf(parsed.post_processor);
  const around: readonly [number, number] = [0, 0];

  const encodeWord = ({ chars, starts, ends }: AlignedText, ids: number[], offsets: (readonly [number, number])[]): void => {
    for (const { id, from, to } of model(chars)) {
      ids.push(id);
      offsets.push([starts[from] as number, ends[to - 1] as number]);
    }
  };
  return {
    encode: (text, maxTokens) => {
      const room = Math.max(0, maxTokens - before.length - after.length);
      const ids: number[] = [];
      const offsets: (readonly [number, number])[] = [];
      for (const part of split(Array.from(text.toWellFormed()))) {
        if (ids.length >= room) break;
        if (part.id !== null) {
          ids.push(part.id);
          offsets.push([part.from, part.from + part.chars.length]);
          continue;
        }
        for (const word of preTokenize(normalize(alignedText(part.chars, part.from)))) {
          if (ids.length >= room) break;
          encodeWord(word, ids, offsets);
        }
      }
      return {
        ids: [...before, ...ids.slice(0, room), ...after],
        offsets: [...before.map(() => around), ...offsets.slice(0, room), ...after.map(() => around)],
      };
    },
  };
}

/** Ids of what the post-processor puts before and after a text. */
function aroundOf(config: unknown): { readonly before: readonly number[]; readonly after: readonly number[] } {
  if (config === null || config === undefined) return { before: [], after: [] };
  const template = templateSchema.safeParse(config);
  if (template.success) {
    const { single, special_tokens: special } = template.data;
    const at = single.findIndex((part) => 'Sequence' in part);
    const idsOf = (parts: typeof single): number[] =>
      parts.flatMap((part) => ('SpecialToken' in part ? (special[part.SpecialToken.id]?.ids ?? []) : []));
    return { before: idsOf(single.slice(0, at)), after: idsOf(single.slice(at + 1)) };
  }
  const { type } = z.looseObject({ type: z.string() }).parse(config);
  if (type !== 'BertProcessing' && type !== 'RobertaProcessing')
    throw new Error(`tokenizer.json has the post-processor ${type}, which is not supported`);
  const { cls, sep } = pairSchema.parse(config);
  return { before: [cls[1]], after: [sep[1]] };
}
