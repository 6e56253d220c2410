import { describe, expect, it } from 'vitest';
import { buildHeader, parseSafetensors, SafetensorsError, tensorBytes } from './safetensors.ts';

const data = Uint8Array.from({ length: 28 }, (_, i) => i);
const file = (): Uint8Array =>
  Buffer.concat([
    buildHeader([
      { name: 'a', dtype: 'F32', shape: [2, 3], bytes: 24 },
      { name: 'b', dtype: 'F16', shape: [2], bytes: 4 },
    ]),
    data,
  ]);
const withHeader = (header: unknown, body = data): Uint8Array => {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.byteLength));
  return Buffer.concat([length, json, body]);
};

describe('safetensors', () => {
  it('reads back what it wrote', () => {
    const bytes = file();
    const parsed = parseSafetensors(bytes);
    const b = parsed.tensors.get('b');
    expect([...parsed.tensors.keys()]).toEqual(['a', 'b']);
    expect(b && [...tensorBytes(bytes, parsed, b)]).toEqual([24, 25, 26, 27]);
    expect(parsed.dataStart % 8).toBe(0);
  });
  it('refuses a header that is larger than the file, cut off, or no JSON', () => {
    const huge = file();
    new DataView(huge.buffer, huge.byteOffset).setBigUint64(0, 1n << 40n, true);
    for (const bytes of [huge, file().subarray(0, 20), Uint8Array.from([2, 0, 0, 0, 0, 0, 0, 0, 1, 2]), new Uint8Array(3)]) {
      expect(() => parseSafetensors(bytes)).toThrow(SafetensorsError);
    }
  });
  it('refuses gaps, overlaps, wrong sizes, unknown types and trailing bytes', () => {
    const t = (dtype: string, shape: number[], ...data_offsets: number[]): unknown => ({ dtype, shape, data_offsets });
    for (const header of [
      { a: t('F32', [7], 0, 28), b: t('U8', [4], 24, 28) },
      { a: t('F32', [5], 0, 20), b: t('F32', [1], 24, 28) },
      { a: t('F32', [6], 0, 28) },
      { a: t('Q4', [7], 0, 28) },
      { a: t('F32', [6], 0, 24) },
      { a: t('F32', [-7], 0, 28) },
      { a: null },
    ]) {
      expect(() => parseSafetensors(withHeader(header))).toThrow(SafetensorsError);
    }
    expect(parseSafetensors(withHeader({ a: t('F32', [7], 0, 28) })).tensors.size).toBe(1);
  });
});
