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

  const headerOf = (text: string, body: Uint8Array = data): Uint8Array => {
    const json = Buffer.from(text);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.byteLength));
    return Buffer.concat([length, json, body]);
  };
  const one = '{"dtype":"U8","shape":[28],"data_offsets":[0,28]}';

  it.each([
    ['a name twice', headerOf(`{"a":${one},"a":${one}}`), /names a twice/],
    ['a name twice, once escaped', headerOf(`{"a":${one},"\\u0061" :${one}}`), /names a twice/],
    ['a type twice', headerOf(`{"a":{"dtype":"U8","dtype":"I8","shape":[28],"data_offsets":[0,28]}}`), /names dtype twice/],
    ['a name that is no name', headerOf(`{"__proto__":${one}}`), /cannot be named/],
    ['no name', headerOf(`{"":${one}}`), /cannot be named/],
    [
      'a shape whose product overflows to its size',
      headerOf('{"a":{"dtype":"U8","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,28]}}'),
      /more elements than can be counted/,
    ],
    [
      'a shape that overflows before it is multiplied by 0',
      headerOf('{"a":{"dtype":"U8","shape":[9007199254740991,9007199254740991,0],"data_offsets":[0,0]}}', new Uint8Array(0)),
      /more elements than can be counted/,
    ],
    [
      'offsets beyond what numbers hold',
      headerOf('{"a":{"dtype":"U8","shape":[28],"data_offsets":[18446744073709551588,18446744073709551616]}}'),
      /bad data_offsets/,
    ],
    ['offsets the wrong way round', headerOf('{"a":{"dtype":"U8","shape":[28],"data_offsets":[28,0]}}'), /its shape needs 28/],
    ['fractions', headerOf('{"a":{"dtype":"U8","shape":[2.5],"data_offsets":[0,28]}}'), /bad dtype or shape/],
    ['a type that nobody knows', headerOf('{"a":{"dtype":"Q4_K","shape":[28],"data_offsets":[0,28]}}'), /tensor a: unknown dtype Q4_K/],
    [
      'a type that does not fit its bytes',
      headerOf('{"a":{"dtype":"F32","shape":[28],"data_offsets":[0,28]}}'),
      /28 bytes, its shape needs 112/,
    ],
    ['a type that is no name', headerOf('{"a":{"dtype":7,"shape":[28],"data_offsets":[0,28]}}'), /bad dtype or shape/],
    [
      'tensors that overlap',
      headerOf('{"a":{"dtype":"U8","shape":[20],"data_offsets":[0,20]},"b":{"dtype":"U8","shape":[16],"data_offsets":[12,28]}}'),
      /tensor b: starts at 12, the one before ends at 20/,
    ],
    [
      'a gap between tensors',
      headerOf('{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[16],"data_offsets":[12,28]}}'),
      /tensor b: starts at 12, the one before ends at 8/,
    ],
    ['a header that nests without an end', headerOf('['.repeat(200_000)), /not JSON/],
    ['two tensors of one range', headerOf(`{"a":${one},"b":${one}}`), /tensor b: starts at 0, the one before ends at 28/],
    ['bytes behind the last tensor', headerOf(`{"a":${one}}`, new Uint8Array(40)), /the header describes/],
    ['a file that ends in a tensor', headerOf(`{"a":${one}}`, data.subarray(0, 20)), /the header describes/],
    ['metadata that is no text', headerOf(`{"__metadata__":{"n":1},"a":${one}}`), /strings only/],
    ['a list', headerOf('[]'), /not an object/],
    ['a byte order mark', headerOf(`\uFEFF{"a":${one}}`), /not JSON/],
    ['a bomb of a length', Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 255]), /must be 2 to 100000000/],
    ['an empty file', new Uint8Array(0), /shorter than the 8 bytes/],
    ['a pickle', Buffer.from('80028a0a6cfc9c46f9206aa85019', 'hex'), /begins like a Python pickle/],
    ['a zip of pickles', Buffer.from('504b0304000008080000000000000000', 'hex'), /begins like a zip file, as PyTorch/],
    ['a zip whose header says little', Buffer.from('504b03040000000000000000', 'hex'), /begins like a zip file/],
  ])('refuses %s, and says so', (_, bytes, message) => {
    expect(() => parseSafetensors(bytes)).toThrow(SafetensorsError);
    expect(() => parseSafetensors(bytes)).toThrow(message);
  });

  it('a name that is like the text of a name, or a text like one, is not taken for it twice', () => {
    const header = `{"__metadata__":{"a":"\\"a\\":{"},"a":{"dtype":"U8","shape":[20],"data_offsets":[0,20]},"dtype":{"dtype":"U8","shape":[8],"data_offsets":[20,28]}}`;
    expect([...parseSafetensors(headerOf(header)).tensors.keys()]).toEqual(['a', 'dtype']);
  });
});
