import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PartServer } from '../../test/support/part-server.ts';
import { Screen } from '../screen.ts';
import type { Part } from './fetch-part.ts';
import { type Pulled, pullParts } from './pull-parts.ts';

const screen = new Screen(false, () => undefined);
const patience = { tries: 2, firstPauseMs: 1 };
let server: PartServer;
let folder: string;

beforeEach(async () => {
  server = await PartServer.start();
  folder = await mkdtemp(join(tmpdir(), 'mw-pull-'));
});
afterEach(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

/** A version whose seal is the list of its parts. */
const pull = async (parts: readonly Part[]): Promise<Pulled> => {
  const seal = JSON.stringify(parts);
  const addresses = await server.addresses(parts);
  const formerParts = async (path: string) => JSON.parse(await readFile(path, 'utf8').catch(() => '[]')) as Part[];
  return await pullParts(
    folder,
    { addresses, parts, texts: [{ path: 'index.json', text: `index of ${seal}` }], seal: { path: 'seal.json', text: seal }, formerParts },
    screen,
    patience,
  );
};
const holds = async (parts: readonly Part[], contents: ReadonlyMap<string, Buffer>): Promise<void> => {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const wanted = [...parts.map(({ path }) => path), 'index.json', 'seal.json'].sort();
  expect(files.map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1)).sort()).toEqual(wanted);
  for (const { path, sha256 } of parts)
    expect((await readFile(join(folder, path))).equals(contents.get(sha256) ?? Buffer.alloc(0))).toBe(true);
  expect(JSON.parse(await readFile(join(folder, 'seal.json'), 'utf8'))).toEqual(parts);
};
const version = (names: Readonly<Record<string, Buffer>>): { readonly parts: Part[]; readonly contents: Map<string, Buffer> } => {
  const parts = Object.entries(names).map(([path, content]) => server.put(path, content));
  return { parts, contents: new Map(Object.values(names).map((content, i) => [parts[i]?.sha256 ?? '', content])) };
};
const [a, b, c, d] = [300_000, 200_000, 100_000, 50_000].map((size) => randomBytes(size)) as [Buffer, Buffer, Buffer, Buffer];

describe('a pull into a folder', () => {
  it('fetches nothing twice: what is right is kept, what has another name now is taken from there, what is not wanted any more goes', async () => {
    const one = version({ '1-of-2': a, '2-of-2': b, 'onnx/graph': d });
    expect(await pull(one.parts)).toEqual({ bytes: 550_000, fetchedBytes: 550_000 });
    await holds(one.parts, one.contents);
    expect(await pull(one.parts)).toEqual({ bytes: 550_000, fetchedBytes: 0 });
    const two = version({ '1-of-3': a, '2-of-3': c, '3-of-3': b, 'onnx/graph': d });
    expect(await pull(two.parts)).toEqual({ bytes: 650_000, fetchedBytes: 100_000 });
    await holds(two.parts, two.contents);
    await writeFile(join(folder, '3-of-3'), Buffer.alloc(b.byteLength));
    expect(await pull(two.parts)).toEqual({ bytes: 650_000, fetchedBytes: 200_000 });
    await holds(two.parts, two.contents);
  });

  it('leaves the old version whole while the new one does not come, and goes on from what came', async () => {
    const one = version({ '1-of-2': a, '2-of-2': b });
    await pull(one.parts);
    const two = version({ '1-of-2': c, '2-of-2': d });
    server.whim = (_, response, bytes) => {
      if (!bytes.equals(d)) return false;
      response.writeHead(503).end();
      return true;
    };
    await expect(pull(two.parts)).rejects.toThrow(/2-of-2 cannot be fetched/);
    for (const { path, sha256 } of one.parts)
      expect((await readFile(join(folder, path))).equals(one.contents.get(sha256) as Buffer)).toBe(true);
    expect(JSON.parse(await readFile(join(folder, 'seal.json'), 'utf8'))).toEqual(one.parts);
    server.whim = () => false;
    expect(await pull(two.parts)).toEqual({ bytes: 150_000, fetchedBytes: 50_000 });
    await holds(two.parts, two.contents);
  });

  it('of two at once lets one in: the folder has all of one version', async () => {
    const versions = [version({ x: a, y: b }), version({ x: c, z: d })] as const;
    for (let round = 0; round < 5; round++) {
      const results = await Promise.allSettled(versions.map(({ parts }) => pull(parts)));
      const refused = results.filter((result) => result.status === 'rejected');
      for (const { reason } of refused)
        expect(String(reason)).toMatch(/process \d+ on \S+ is writing to .*: wait for it, or choose another folder/);
      const seal = await readFile(join(folder, 'seal.json'), 'utf8').catch(() => null);
      const whole = versions.find(({ parts }) => JSON.stringify(parts) === seal);
      expect(whole === undefined).toBe(seal === null);
      if (whole) await holds(whole.parts, whole.contents);
    }
    await pull(versions[0].parts);
    await holds(versions[0].parts, versions[0].contents);
  });

  it('is not kept out by one that was killed, and takes its old version away even if that died between the two', async () => {
    const one = version({ '1-of-2': a, '2-of-2': b });
    await pull(one.parts);
    const two = version({ '1-of-1': c });
    const staging = join(folder, '.pull');
    await mkdir(staging);
    // As a pull of the second version leaves it that dies when it has begun to put parts in their places.
    await writeFile(join(staging, `lock.${2 ** 22 + 1}.0-0.${hostname()}`), '');
    await writeFile(join(staging, 'former-seal'), await readFile(join(folder, 'seal.json')));
    await rm(join(folder, 'seal.json'));
    await writeFile(join(folder, '1-of-1'), c);
    expect(await pull(two.parts)).toEqual({ bytes: 100_000, fetchedBytes: 0 });
    await holds(two.parts, two.contents);
  });

  it('refuses a file outside the folder, and what the disk has no room for, before anything is fetched', async () => {
    for (const path of ['../evil', '/etc/evil', '.pull/evil', '']) {
      await expect(pull([{ path, sha256: 'f'.repeat(64), bytes: 1 }])).rejects.toThrow(/names a file outside the folder/);
    }
    const huge = { ...server.put('huge', a), bytes: 2 ** 60 };
    await expect(pull([huge])).rejects.toThrow(/has room for .*, 1048576.0 TiB are to come: make room/);
    expect(server.ranges).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });
});
