import { z } from 'zod';
import { type AlignedText, type Change, filter, prepend, replace, transform } from './aligned-text.ts';
import { precompiled } from './precompiled.ts';
import { patternOf, patternSchema } from './pattern.ts';
import { type UnicodeForm, unicodeForm } from './unicode-forms.ts';

export type Normalizer = (text: AlignedText) => AlignedText;

const bertSchema = z.object({
  clean_text: z.boolean().default(true),
  handle_chinese_chars: z.boolean().default(true),
  strip_accents: z.boolean().nullish(),
  lowercase: z.boolean().default(true),
});
const whiteSpace = /^\p{White_Space}$/u;
const control = /^[\p{Cc}\p{Cf}\p{Co}]$/u;

/** The normalizer of a tokenizer.json. Throws on one that no encoder of ours has. */
export function normalizerOf(config: unknown): Normalizer {
  if (config === null || config === undefined) return (text) => text;
  const { type } = z.looseObject({ type: z.string() }).parse(config);
  switch (type) {
    case 'Sequence': {
      const parts = z
        .looseObject({ normalizers: z.array(z.unknown()) })
        .parse(config)
        .normalizers.map(normalizerOf);
      return (text) => parts.reduce((before, part) => part(before), text);
    }
    case 'BertNormalizer':
      return bert(bertSchema.parse(config));
    case 'Lowercase':
      return lowercase;
    case 'StripAccents':
      return (text) => filter(text, (char) => !/^\p{M}$/u.test(char));
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => unicodeForm(text, type satisfies UnicodeForm);
    case 'Replace': {
      const { pattern, content } = z.looseObject({ pattern: patternSchema, content: z.string() }).parse(config);
      const expression = patternOf(pattern);
      return (text) => replace(text, expression, content);
    }
    case 'Prepend': {
      const { prepend: prefix } = z.looseObject({ prepend: z.string() }).parse(config);
      return (text) => Array.from(prefix).reverse().reduce(prepend, text);
    }
    case 'Precompiled':
      return precompiled(z.looseObject({ precompiled_charsmap: z.string() }).parse(config).precompiled_charsmap);
    default:
      throw new Error(`tokenizer.json has the normalizer ${type}, which is not supported`);
  }
}

/** Each code point by itself: the final sigma of Greek is written as any other. */
const lowercase: Normalizer = (text) =>
  transform(
    text,
    text.chars.flatMap((char) => Array.from(char.toLowerCase()).map((part, i): Change => [part, i === 0 ? 0 : 1])),
  );

const isChinese = (char: string): boolean => {
  const cp = char.codePointAt(0) ?? 0;
  return (
    (cp >= 0x4e00 && cp <= 0x9fff) ||
    (cp >= 0x3400 && cp <= 0x4dbf) ||
    (cp >= 0x20000 && cp <= 0x2a6df) ||
    (cp >= 0x2a700 && cp <= 0x2b73f) ||
    (cp >= 0x2b740 && cp <= 0x2b81f) ||
    (cp >= 0x2b920 && cp <= 0x2ceaf) ||
    (cp >= 0xf900 && cp <= 0xfaff) ||
    (cp >= 0x2f800 && cp <= 0x2fa1f)
  );
};

const isControl = (char: string): boolean => char !== '\t' && char !== '\n' && char !== '\r' && control.test(char);

function bert({ clean_text: clean, handle_chinese_chars: chinese, strip_accents: strip, lowercase: lower }: z.infer<typeof bertSchema>) {
  return (given: AlignedText): AlignedText => {
    let text = given;
    if (clean) {
      text = filter(text, (char) => char !== '\0' && char !== '\ufffd' && !isControl(char));
      text = { ...text, chars: text.chars.map((char) => (whiteSpace.test(char) ? ' ' : char)) };
    }
    if (chinese && text.chars.some(isChinese))
      text = transform(
        text,
        text.chars.flatMap((char): Change[] =>
          isChinese(char)
            ? [
                [' ', 0],
                [char, 1],
                [' ', 1],
              ]
            : [[char, 0]],
        ),
      );
    if (strip ?? lower) text = filter(unicodeForm(text, 'NFD'), (char) => !/^\p{Mn}$/u.test(char));
    return lower ? lowercase(text) : text;
  };
}
