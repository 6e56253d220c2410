import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readHeader } from '../../store/safetensors-file.ts';
import { type SafetensorsFile, SafetensorsError, buildHeader } from '../../store/safetensors.ts';

export const indexFile = 'model.safetensors.index.json';
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string().regex(/^[\w.-]+\.safetensors$/)) });
/** Held in memory at once. */
const pieceBytes = 8 * 1024 * 1024;

/** Large models come in several files with an index: writes them as one, tensors in the order of the index. Throws SafetensorsError with the file's name. */
export async function mergeShards(source: string, target: string): Promise<void> {
  const index = indexSchema.safeParse(JSON.parse(await readFile(join(source, indexFile), 'utf8')));
  if (!index.success) throw new SafetensorsError(`${indexFile} has no weight_map of safetensors files beside it`);
  const shards = new Map<string, SafetensorsFile>();
  for (const name of new Set(Object.values(index.data.weight_map))) shards.set(name, await headerOf(join(source, name), name));
  const tensors = Object.entries(index.data.weight_map).map(([name, shard]) => {
    const file = shards.get(shard) as SafetensorsFile;
    const found = file.tensors.get(name);
    if (!found) throw new SafetensorsError(`${shard} lacks the tensor ${name}, which ${indexFile} says is in it`);
    const { dtype, shape, begin, end } = found;
    return { name, dtype, shape, bytes: end - begin, shard, from: file.dataStart + begin };
  });
  const out = await open(target, 'wx');
  try {
    await out.write(buildHeader(tensors));
    for (const { shard, from, bytes } of tensors) {
      const file = await open(join(source, shard));
      try {
        for (let done = 0; done < bytes; done += pieceBytes) {
          const piece = Buffer.alloc(Math.min(pieceBytes, bytes - done));
          await file.read(piece, 0, piece.byteLength, from + done);
          await out.write(piece);
        }
      } finally {
        await file.close();
      }
    }
  } finally {
    await out.close();
  }
}

async function headerOf(path: string, name: string): Promise<SafetensorsFile> {
  const file = await open(path).catch((error: unknown) => {
    throw new SafetensorsError(`${name} is missing, which ${indexFile} names`, { cause: error });
  });
  try {
    return await readHeader(file);
  } catch (error) {
    throw error instanceof SafetensorsError ? new SafetensorsError(`${name}: ${error.message}`, { cause: error }) : error;
  } finally {
    await file.close();
  }
}
