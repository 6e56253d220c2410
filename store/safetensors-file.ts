import type { FileHandle } from 'node:fs/promises';
import { type SafetensorsFile, SafetensorsError, headerLength, parseHeader } from './safetensors.ts';

/** The header of a safetensors file, which is not read beyond it. Throws SafetensorsError where it is none, or cut off. */
export async function readHeader(file: FileHandle): Promise<SafetensorsFile> {
  const { size } = await file.stat();
  const start = Buffer.alloc(Math.min(8, size));
  await file.read(start, 0, start.byteLength, 0);
  const length = headerLength(start);
  // Not believed before memory is asked for.
  if (length > size) throw new SafetensorsError(`a header of ${length} bytes in a file of ${size}`);
  const block = Buffer.alloc(length);
  await file.read(block, 0, length, 0);
  return parseHeader(block, size);
}
