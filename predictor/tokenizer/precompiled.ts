import { type AlignedText, type Change, transform } from './aligned-text.ts';

/** Longer graphemes are looked up code point by code point, as sentencepiece's users do. */
const maxGraphemeBytes = 5;

/** sentencepiece's table of normalised pieces: a double-array trie over UTF-8, whose leaves point into text that ends with NUL. */
export function precompiled(base64: string): (text: AlignedText) => AlignedText {
  const bytes = Buffer.from(base64, 'base64');
  const trieBytes = bytes.readUInt32LE(0);
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => bytes.readUInt32LE(4 + i * 4));
  const texts = bytes.subarray(4 + trieBytes);
  const offset = (unit: number): number => ((unit >>> 10) << ((unit & 512) >>> 6)) >>> 0;
  /** The shortest prefix that the table has decides. */
  const look = (piece: string): string | null => {
    let at = offset(units[0] ?? 0);
    for (const byte of Buffer.from(piece, 'utf8')) {
      if (byte === 0) return null;
      at ^= byte;
      const unit = units[at] ?? 0;
      if ((unit & 0x800000ff) >>> 0 !== byte) return null;
      at ^= offset(unit);
      if ((unit >>> 8) & 1) {
        const begin = (units[at] ?? 0) & 0x7fffffff;
        return texts.toString('utf8', begin, texts.indexOf(0, begin));
      }
    }
    return null;
  };
  const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
  return (text) => {
    const changes: Change[] = [];
    const put = (piece: string): boolean => {
      const found = look(piece);
      if (found === null) return false;
      const parts = Array.from(found);
      const more = parts.length - Array.from(piece).length;
      parts.forEach((part, i) => changes.push([part, more > 0 && i >= parts.length - more ? 1 : 0]));
      const last = changes.at(-1);
      if (more < 0 && last) changes[changes.length - 1] = [last[0], last[1] + more];
      return true;
    };
    for (const { segment } of graphemes.segment(text.chars.join(''))) {
      if (Buffer.byteLength(segment) <= maxGraphemeBytes && put(segment)) continue;
      for (const char of segment) if (!put(char)) changes.push([char, 0]);
    }
    return transform(text, changes);
  };
}
