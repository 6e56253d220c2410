import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../platform/hash.ts';
import type { Pool } from '../platform/mysql.ts';
import { CorruptObject, type ObjectStore, StoreUnavailable } from '../store/object-store.ts';
import { createModelStore } from './model-store.ts';

let folder = '';
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mw-model-store-'))));
afterEach(async () => await rm(folder, { recursive: true, force: true }));

/** A store that streams what it is given, and counts how often it was asked. */
function storeOf(stream: () => Readable) {
  let reads = 0;
  const objects = {
    stream: () => {
      reads += 1;
      return Promise.resolve(stream());
    },
  } as unknown as ObjectStore;
  return { files: createModelStore({} as Pool, objects, folder, { trusted: new Map(), unsigned: 'accept' }), reads: () => reads };
}

const graph = Buffer.from('a graph '.repeat(10_000));
const part = { key: 'base/files/graph', sha256: sha256Hex(graph) };

describe('a file of a version', () => {
  it('is fetched once, and again when the copy on disk is not what it was', async () => {
    const { files, reads } = storeOf(() => Readable.from([graph.subarray(0, 99), graph.subarray(99)]));
    const path = await files.file(part);
    expect(await readFile(path)).toEqual(graph);
    expect(await files.file(part)).toBe(path);
    expect(reads()).toBe(1);
    await writeFile(path, 'something else');
    expect(await readFile(await files.file(part))).toEqual(graph);
    expect(reads()).toBe(2);
  });

  it('that has another digest, or breaks off, is none, and nothing of it is left', async () => {
    const wrong = storeOf(() => Readable.from([Buffer.from('another graph')]));
    await expect(wrong.files.file(part)).rejects.toThrow(CorruptObject);
    const broken = storeOf(() =>
      Readable.from(
        (async function* () {
          yield await Promise.resolve(graph.subarray(0, 99));
          throw new Error('the connection was reset');
        })(),
      ),
    );
    await expect(broken.files.file(part)).rejects.toThrow(StoreUnavailable);
    expect(await readdir(join(folder, part.sha256.slice(0, 2)))).toEqual([]);
  });
});
