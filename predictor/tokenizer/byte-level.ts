import { z } from 'zod';
import { patternSchema } from './pattern.ts';

/** Bytes of UTF-8 as the characters that stand for them in the vocabulary, as GPT-2 chose them: printable ones for themselves, the others from U+0100 on. */
const charOfByte: readonly string[] = (() => {
  const printable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let others = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : others++));
})();
const byteOfChar: ReadonlyMap<string, number> = new Map(charOfByte.map((char, byte) => [char, byte]));

const encoder = new TextEncoder();
const toByteChars = (text: string): string => Array.from(encoder.encode(text), (byte) => charOfByte[byte] as string).join('');

/** The bytes that a piece of the vocabulary stands for; null: it is none of bytes. */
export function bytesOfPiece(piece: string): Uint8Array | null {
  const bytes = Array.from(piece, (char) => byteOfChar.get(char));
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : null;
}

/** How GPT-2 cuts a text into words. */
const gpt2Words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const splitSchema = z.looseObject({ pattern: patternSchema, behavior: z.literal('Isolated'), invert: z.literal(false).default(false) });
const byteLevelSchema = z.looseObject({ add_prefix_space: z.boolean().default(false), use_regex: z.boolean().default(true) });
const digitsSchema = z.looseObject({ individual_digits: z.boolean().default(false) });

type Cut = (parts: readonly string[]) => string[];

/** Cuts a normalised text into words of byte characters, as the pre-tokenizer of a tokenizer.json with byte-level BPE says. Throws on any other. */
export function byteLevelWords(config: unknown): (text: string) => string[] {
  const cuts = cutsOf(config);
  if (!cuts.some(({ bytes }) => bytes)) throw new Error('tokenizer.json has no pre-tokenizer ByteLevel, which is not supported');
  return (text) => cuts.reduce<string[]>((parts, { cut }) => cut(parts), text === '' ? [] : [text]);
}

function cutsOf(config: unknown): { readonly cut: Cut; readonly bytes: boolean }[] {
  const { type } = z.looseObject({ type: z.string() }).parse(config ?? { type: 'nothing' });
  switch (type) {
    case 'Sequence':
      return z
        .looseObject({ pretokenizers: z.array(z.unknown()) })
        .parse(config)
        .pretokenizers.flatMap(cutsOf);
    case 'Split': {
      const { pattern } = splitSchema.parse(config);
      const source = 'String' in pattern ? pattern.String.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&') : pattern.Regex;
      return [{ cut: isolating(source), bytes: false }];
    }
    case 'Digits':
      return [{ cut: isolating(digitsSchema.parse(config).individual_digits ? '\\p{N}' : '\\p{N}+'), bytes: false }];
    case 'ByteLevel': {
      const { add_prefix_space: prefix, use_regex: words } = byteLevelSchema.parse(config);
      const cut = words ? isolating(gpt2Words) : (parts: readonly string[]) => [...parts];
      const spaced = (part: string): string => (prefix && !part.startsWith(' ') ? ` ${part}` : part);
      return [{ cut: (parts) => cut(parts.map(spaced)).map(toByteChars), bytes: true }];
    }
    default:
      throw new Error(`tokenizer.json has the pre-tokenizer ${type}, which is not supported`);
  }
}

/** What matches is a part of its own, and so is what lies between. */
function isolating(source: string): Cut {
  let expression: RegExp;
  try {
    // White space is that of Unicode; JavaScript's own leaves U+0085 out and takes U+FEFF in.
    expression = new RegExp(source.replaceAll('\\s', '\\p{White_Space}').replaceAll('\\S', '\\P{White_Space}'), 'gu');
  } catch (error) {
    throw new Error(`tokenizer.json has the expression ${source}, which is not supported`, { cause: error });
  }
  return (parts) =>
    parts.flatMap((part) => {
      const found: string[] = [];
      let done = 0;
      for (const { 0: match, index } of part.matchAll(expression)) {
        if (match === '') continue;
        if (index > done) found.push(part.slice(done, index));
        found.push(match);
        done = index + match.length;
      }
      if (done < part.length) found.push(part.slice(done));
      return found;
    });
}
