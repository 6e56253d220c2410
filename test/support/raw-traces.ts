import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { ObjectMissing, type ObjectStore } from '../../store/object-store.ts';

const decompress = promisify(zstdDecompress);

async function whole(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

async function readWhole(store: ObjectStore, key: string): Promise<Buffer | null> {
  try {
    return await whole((await store.stream(key)) as AsyncIterable<Uint8Array>);
  } catch (error) {
    if (error instanceof ObjectMissing) return null;
    throw error;
  }
}

/** Every object of the bucket that has the text, as it is or unpacked; by other code than the product's own. */
export async function objectsWith(store: ObjectStore, text: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list('')) {
    // Live runs remove what they staged while it is looked at.
    const bytes = await readWhole(store, key);
    if (bytes === null) continue;
    const plain = key.endsWith('.zst') ? await decompress(bytes) : bytes;
    if (bytes.includes(text) || plain.includes(text)) found.push(key);
  }
  return found;
}

/** Every file below the folder that has the text; `without` are names of folders that are left out. */
export async function filesWith(folder: string, text: string, without: readonly string[] = []): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !without.includes(entry.name)) found.push(...(await filesWith(path, text, without)));
    // A file that goes while it is looked at has nothing any more.
    else if (entry.isFile() && (await whole(createReadStream(path)).catch(() => Buffer.alloc(0))).includes(text)) found.push(path);
  }
  return found;
}

/** Tables of both databases with a row that has the text. */
export async function tablesWith(pool: Pool, text: string): Promise<string[]> {
  const [tables] = await pool.query<(RowDataPacket & { name: string })[]>(
    "SELECT CONCAT(table_schema, '.', table_name) AS name FROM information_schema.tables WHERE table_schema IN ('modelwright', 'modelwright_control')",
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const [rows] = await pool.query<RowDataPacket[]>(`SELECT * FROM ${name}`);
    if (JSON.stringify(rows).includes(text)) found.push(name);
  }
  return found;
}
