import { z } from 'zod';
import { type AlignedText, prepend, slice } from './aligned-text.ts';

export type PreTokenizer = (text: AlignedText) => AlignedText[];

const whiteSpace = /^\p{White_Space}$/u;
const punctuation = /^[\p{P}!-/:-@[-`{-~]$/u;
const metaspaceSchema = z.looseObject({
  replacement: z.string().default('\u2581'),
  prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
  add_prefix_space: z.boolean().optional(),
  split: z.boolean().default(true),
});

/** The pre-tokenizer of a tokenizer.json. Throws on one that no encoder of ours has. */
export function preTokenizerOf(config: unknown): PreTokenizer {
  if (config === null || config === undefined) return (text) => [text];
  const { type } = z.looseObject({ type: z.string() }).parse(config);
  switch (type) {
    case 'Sequence': {
      const parts = z
        .looseObject({ pretokenizers: z.array(z.unknown()) })
        .parse(config)
        .pretokenizers.map(preTokenizerOf);
      return (text) => parts.reduce((words, part) => words.flatMap(part), [text]);
    }
    case 'BertPreTokenizer':
      return (text) => splitAt(text, whiteSpace).flatMap((word) => splitAt(word, punctuation, true));
    case 'WhitespaceSplit':
      return (text) => splitAt(text, whiteSpace);
    case 'Metaspace':
      return metaspace(metaspaceSchema.parse(config));
    default:
      throw new Error(`tokenizer.json has the pre-tokenizer ${type}, which is not supported`);
  }
}

/** Parts between the separators; these are parts of their own where they are kept. */
function splitAt(text: AlignedText, separator: RegExp, keep = false): AlignedText[] {
  const parts: AlignedText[] = [];
  let from = 0;
  const until = (to: number): void => {
    if (to > from) parts.push(slice(text, from, to));
  };
  text.chars.forEach((char, i) => {
    if (!separator.test(char)) return;
    until(i);
    if (keep) parts.push(slice(text, i, i + 1));
    from = i + 1;
  });
  until(text.chars.length);
  return parts;
}

function metaspace({ replacement, prepend_scheme: given, add_prefix_space: prefix, split }: z.infer<typeof metaspaceSchema>): PreTokenizer {
  const scheme = given ?? (prefix === false ? 'never' : 'always');
  return (text) => {
    if (text.chars.length === 0) return [];
    let marked: AlignedText = { ...text, chars: text.chars.map((char) => (char === ' ' ? replacement : char)) };
    const wanted = scheme === 'always' || (scheme === 'first' && text.starts[0] === 0);
    if (wanted && marked.chars[0] !== replacement) marked = prepend(marked, replacement);
    if (!split) return [marked];
    const begins = marked.chars.flatMap((char, i) => (i === 0 || char === replacement ? [i] : []));
    return begins.map((begin, i) => slice(marked, begin, begins[i + 1] ?? marked.chars.length));
  };
}
