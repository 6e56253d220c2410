import { repeatedName } from './unique-names.ts';

/** The safetensors format: u64 little-endian header length, JSON header, then tensors without gaps. */

/** Largest header that the reference library reads. */
export const maxHeaderBytes = 100_000_000;

/** Bytes of one element, by dtype name. */
const elementBytes: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  U16: 2,
  U32: 4,
  U64: 8,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
};

/** First bytes of what people rename to .safetensors. */
const otherFormats: readonly (readonly [readonly number[], string])[] = [
  [[0x50, 0x4b, 0x03, 0x04], 'a zip file, as PyTorch saves pickles'],
  [[0x80, 0x02], 'a Python pickle'],
  [[0x80, 0x03], 'a Python pickle'],
  [[0x80, 0x04], 'a Python pickle'],
  [[0x80, 0x05], 'a Python pickle'],
  [[0x1f, 0x8b], 'a gzip file'],
  [[0x47, 0x47, 0x55, 0x46], 'a GGUF file'],
  [[0x89, 0x48, 0x44, 0x46], 'an HDF5 file'],
];

export type TensorInfo = { readonly dtype: string; readonly shape: readonly number[]; readonly begin: number; readonly end: number };
export type SafetensorsFile = {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Offset of the first tensor byte in the file. */
  readonly dataStart: number;
};

/** The bytes are not a well-formed safetensors file. */
export class SafetensorsError extends Error {
  override name = 'SafetensorsError';
}

/** Ends a message about a file that is none of ours with what it looks like. */
function likeness(start: Uint8Array): string {
  const found = otherFormats.find(([magic]) => magic.every((byte, i) => start[i] === byte));
  return found ? `: it begins like ${found[1]}, which is not read` : '';
}

/** Length in bytes of the whole header block (8 + JSON), from the file's first 8 bytes. */
export function headerLength(start: Uint8Array): number {
  if (start.byteLength < 8) throw new SafetensorsError('shorter than the 8 bytes of the header length');
  const length = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true));
  if (length < 2 || length > maxHeaderBytes)
    throw new SafetensorsError(`header of ${length} bytes: must be 2 to ${maxHeaderBytes}${likeness(start)}`);
  return 8 + length;
}

function tensorInfo(name: string, value: unknown): TensorInfo {
  // Objects of JavaScript cannot carry this one as a name like others.
  if (name === '' || name === '__proto__') throw new SafetensorsError(`a tensor cannot be named "${name}"`);
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  const natural = (n: unknown): n is number => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0;
  if (typeof dtype !== 'string' || !Array.isArray(shape) || !shape.every(natural))
    throw new SafetensorsError(`tensor ${name}: bad dtype or shape`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(natural))
    throw new SafetensorsError(`tensor ${name}: bad data_offsets`);
  const [begin, end] = offsets as [number, number];
  const size = elementBytes[dtype];
  if (size === undefined) throw new SafetensorsError(`tensor ${name}: unknown dtype ${dtype}`);
  let expected = size;
  for (const n of shape) {
    expected *= n;
    // Beyond, numbers are rounded, and a wrong size could look right.
    if (!Number.isSafeInteger(expected)) throw new SafetensorsError(`tensor ${name}: its shape has more elements than can be counted`);
  }
  if (end - begin !== expected) throw new SafetensorsError(`tensor ${name}: ${end - begin} bytes, its shape needs ${expected}`);
  return { dtype, shape, begin, end };
}

/** Parses the header block; `fileBytes` is the size of the whole file. Tensors must lie without gaps or overlaps. */
export function parseHeader(block: Uint8Array, fileBytes: number): SafetensorsFile {
  const dataStart = headerLength(block);
  if (block.byteLength < dataStart) throw new SafetensorsError(`the header is cut off${likeness(block)}`);
  let header: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(block.subarray(8, dataStart));
    header = JSON.parse(text);
  } catch (error) {
    throw new SafetensorsError(`the header is not JSON${likeness(block)}`, { cause: error });
  }
  if (header === null || typeof header !== 'object' || Array.isArray(header)) throw new SafetensorsError('the header is not an object');
  const repeated = repeatedName(text);
  if (repeated !== null) throw new SafetensorsError(`the header names ${repeated} twice`);
  const { __metadata__: metadata = {}, ...rest } = header as Record<string, unknown>;
  if (typeof metadata !== 'object' || metadata === null || !Object.values(metadata).every((text) => typeof text === 'string')) {
    throw new SafetensorsError('__metadata__ may hold strings only');
  }
  const tensors = new Map(Object.entries(rest).map(([name, value]) => [name, tensorInfo(name, value)] as const));
  let at = 0;
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at) throw new SafetensorsError(`tensor ${name}: starts at ${begin}, the one before ends at ${at}`);
    at = end;
  }
  if (dataStart + at !== fileBytes) throw new SafetensorsError(`${fileBytes} bytes, the header describes ${dataStart + at}`);
  return { tensors, metadata: metadata as Record<string, string>, dataStart };
}

export const parseSafetensors = (bytes: Uint8Array): SafetensorsFile =>
  parseHeader(bytes.subarray(0, headerLength(bytes)), bytes.byteLength);

/** Bytes of one tensor of a parsed file. */
export const tensorBytes = (file: Uint8Array, parsed: SafetensorsFile, info: TensorInfo): Uint8Array =>
  file.subarray(parsed.dataStart + info.begin, parsed.dataStart + info.end);

/** The header block for tensors in the given order: equal input gives equal bytes. Data starts on a multiple of 8. */
export function buildHeader(
  tensors: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[]; readonly bytes: number }[],
): Uint8Array {
  let at = 0;
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.byteLength / 8) * 8;
  const block = new Uint8Array(8 + padded).fill(0x20, 8);
  new DataView(block.buffer).setBigUint64(0, BigInt(padded), true);
  block.set(json, 8);
  return block;
}

/** A tensor's numbers as 32-bit floats, in memory of their own: the file's bytes can go. */
export function float32Of(raw: Uint8Array, dtype: string, name: string): Float32Array {
  const bytes = new Uint8Array(raw);
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  if (dtype === 'F16') return Float32Array.from(new Float16Array(bytes.buffer));
  // The upper half of a 32-bit float.
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (half) => half << 16).buffer);
  throw new SafetensorsError(`tensor ${name} is ${dtype}: only F32, F16 and BF16 can be computed with`);
}
