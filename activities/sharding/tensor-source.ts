import { createReadStream } from 'node:fs';
import { open as openFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { ObjectRef } from '../../core/object-ref.ts';
import { ObjectMissing, type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';
import { type SafetensorsFile, SafetensorsError, headerLength, parseHeader } from '../../store/safetensors.ts';

/** A safetensors file that is read in parts, wherever it is. */
export type TensorSource = {
  /** For messages. */
  readonly name: string;
  readonly bytes: number;
  /** Exactly these bytes, or an error. */
  readonly open: (from: number, bytes: number) => Promise<Readable>;
  /** Fills the target with what begins there, or an error. Where a source has this, no buffers pile up between two rounds of the collector. */
  readonly readInto?: (target: Uint8Array, from: number) => Promise<void>;
};

/** Times that a part is opened again where it broke off without a byte since the last time. */
const attempts = 5;

export async function fileSource(path: string): Promise<TensorSource> {
  const { size } = await stat(path);
  return {
    name: path,
    bytes: size,
    open: (from, bytes) => Promise.resolve(createReadStream(path, { start: from, end: from + bytes - 1, highWaterMark: 1 << 20 })),
    readInto: async (target, from) => {
      const file = await openFile(path);
      try {
        for (let done = 0; done < target.byteLength;) {
          const { bytesRead } = await file.read(target, done, target.byteLength - done, from + done);
          if (bytesRead === 0) throw new RangeError(`${path} ended at byte ${from + done}`);
          done += bytesRead;
        }
      } finally {
        await file.close();
      }
    },
  };
}

/** What a job staged, read by ranges: it is never on this machine as a whole. */
export const stagedSource = (store: ObjectStore, { key, bytes }: ObjectRef): TensorSource => ({
  name: key,
  bytes,
  open: (from, length) => store.streamPart(key, from, length),
});

/** The bytes in order. A stream that breaks off is opened again where it did. */
export async function* chunksOf({ name, open }: TensorSource, from: number, bytes: number): AsyncGenerator<Buffer> {
  let done = 0;
  for (let failures = 0; done < bytes;) {
    try {
      for await (const chunk of await open(from + done, bytes - done)) {
        failures = 0;
        done += (chunk as Buffer).byteLength;
        yield chunk as Buffer;
      }
      if (done < bytes) throw new StoreUnavailable(`reading ${name} ended at byte ${from + done}, ${bytes - done} bytes too early`);
    } catch (error) {
      failures += 1;
      if (error instanceof ObjectMissing || failures >= attempts)
        throw error instanceof ObjectMissing
          ? error
          : new StoreUnavailable(`reading ${name} broke off at byte ${from + done}`, { cause: error });
    }
  }
}

/** The same as a stream, which says that it goes on with every chunk. */
export const streamOf = (source: TensorSource, beat: () => void, from = 0, bytes = source.bytes): Readable =>
  Readable.from(
    (async function* () {
      for await (const chunk of chunksOf(source, from, bytes)) {
        beat();
        yield chunk;
      }
    })(),
    { objectMode: false },
  );

async function readPart(source: TensorSource, from: number, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of chunksOf(source, from, bytes)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export type Header = { readonly block: Buffer; readonly parsed: SafetensorsFile };

/** The header block, and what it says. Throws SafetensorsError, which names the file, for one that is read as wrong twice. */
export async function headerOf(source: TensorSource): Promise<Header> {
  try {
    // Nothing has checked these bytes yet: they may have been changed on their way.
    return await headerOnce(source).catch((error: unknown) => {
      if (error instanceof SafetensorsError) return headerOnce(source);
      throw error;
    });
  } catch (error) {
    throw error instanceof SafetensorsError ? new SafetensorsError(`${source.name}: ${error.message}`, { cause: error }) : error;
  }
}

async function headerOnce(source: TensorSource): Promise<Header> {
  const start = await readPart(source, 0, Math.min(8, source.bytes));
  const length = headerLength(start);
  // Not believed before memory is asked for.
  if (length > source.bytes) throw new SafetensorsError(`a header of ${length} bytes in a file of ${source.bytes}`);
  const block = Buffer.concat([start, await readPart(source, 8, length - 8)]);
  return { block, parsed: parseHeader(block, source.bytes) };
}
