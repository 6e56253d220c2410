import { describe, expect, it } from 'vitest';
import { RawSearch, leastBytes, needlesOf } from './raw-search.ts';

const salt = 'a'.repeat(32);
const texts = ['The quick brown fox jumps over the lazy dog', 'eight ch', 'Größe "in" Zoll\n\u{1f600} und mehr', 'xyz 1234 abc'];
const needles = needlesOf(texts, salt);
async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) {
    yield bytes.subarray(at, at + size);
    await Promise.resolve();
  }
}
const foundIn = (bytes: Buffer): number[] => {
  const search = new RawSearch(needles, salt);
  search.bytes(bytes);
  return [...search.found].sort((a, b) => a - b);
};
/** Bytes that look like weights: any value, always the same. */
const noise = (size: number): Buffer => {
  let state = 1;
  return Buffer.from(Array.from({ length: size }, () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0) >>> 24));
};

describe('a search in raw bytes', () => {
  it('finds a text however it is written and wherever it lies, and nothing else', () => {
    for (const [i, text] of texts.entries()) {
      const json = JSON.stringify({ text });
      const ascii = json.replace(/[\u0080-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
      for (const written of [text, json, ascii])
        for (const before of [0, 1, 1_000]) expect(foundIn(Buffer.concat([noise(before), Buffer.from(written), noise(50)]))).toEqual([i]);
    }
    expect(foundIn(noise(3_000_000))).toEqual([]);
    expect(
      foundIn(
        Buffer.from(
          texts
            .map((text) => text.slice(1))
            .join(' ')
            .replace('eight ch', ''),
        ),
      ),
    ).toEqual([]);
    expect(foundIn(Buffer.from('The quick brown fox jumps over the lazy cat'))).toEqual([]);
  });

  it('finds it across the ends of pieces', async () => {
    const data = Buffer.concat([noise(9_000_000), Buffer.from(texts[0] ?? ''), noise(5)]);
    for (const size of [65_536, 9_000_017]) {
      const search = new RawSearch(needles, salt);
      expect(await search.read(chunked(data, size))).toBe(data.byteLength);
      expect([...search.found]).toEqual([0]);
    }
    const small = new RawSearch(needles, salt);
    await small.read(chunked(Buffer.from(`ab${texts[3]}cd`), 1));
    expect([...small.found]).toEqual([3]);
  });

  it('keeps no bytes of a text, and does not look for what is too short', () => {
    expect(JSON.stringify(needles)).not.toMatch(/quick|eight|Zoll/);
    expect(needlesOf(['a'.repeat(leastBytes - 1), ''], salt)).toEqual([]);
    expect(needlesOf(['another text'], salt, 7)).toMatchObject([{ text: 7 }]);
    expect(new RawSearch(needlesOf(texts, 'b'), 'c').found.size).toBe(0);
  });
});
