import { randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PartServer } from '../../test/support/part-server.ts';
import { type Part, fetchPart } from './fetch-part.ts';

const content = randomBytes(1_000_000);
const patience = { tries: 4, firstPauseMs: 1 };
let server: PartServer;
let folder: string;
let file: string;
let part: Part;

beforeEach(async () => {
  server = await PartServer.start();
  folder = await mkdtemp(join(tmpdir(), 'mw-part-'));
  file = join(folder, 'it.part');
  part = server.put('model.safetensors', content);
});
afterEach(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

async function fetchIt(): Promise<{ readonly reached: number; readonly fetched: number }> {
  const seen = { reached: 0, fetched: 0 };
  const on = { report: (count: number) => void (seen.reached = count), fetched: (count: number) => void (seen.fetched += count) };
  await fetchPart(await server.addresses([part]), part, file, on, new AbortController().signal, patience);
  return seen;
}
const isRight = async (): Promise<boolean> => (await readFile(file)).equals(content);

describe('fetching a part', () => {
  it('goes on behind what has come, as often as the connection breaks', async () => {
    let breaks = 0;
    server.whim = ({ headers }, response, bytes) => {
      breaks += 1;
      if (breaks > 10) return false;
      const from = Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0);
      const about = {
        'content-range': `bytes ${from}-${bytes.byteLength - 1}/${bytes.byteLength}`,
        'content-length': bytes.byteLength - from,
      };
      response.writeHead(from > 0 ? 206 : 200, about);
      response.write(bytes.subarray(from, from + 40_000), () => setTimeout(() => response.destroy(), 5));
      return true;
    };
    const { reached, fetched } = await fetchIt();
    // What was on its way to the disk when a connection broke comes twice.
    expect([reached, fetched >= content.byteLength, fetched < 2 * content.byteLength]).toEqual([content.byteLength, true, true]);
    expect(await isRight()).toBe(true);
    expect(server.ranges[0]).toBeUndefined();
    expect(new Set(server.ranges).size).toBeGreaterThan(5);
  });

  it('goes on where an earlier call was killed, and asks for nothing where all is there', async () => {
    await writeFile(file, content.subarray(0, 700_000));
    expect(await fetchIt()).toEqual({ reached: content.byteLength, fetched: 300_000 });
    expect(server.ranges).toEqual(['bytes=700000-']);
    expect(await fetchIt()).toEqual({ reached: content.byteLength, fetched: 0 });
    expect(server.ranges).toHaveLength(1);
    expect(await isRight()).toBe(true);
  });

  it('begins again where what was left there is not the beginning, is longer, or the server gives no ranges', async () => {
    await writeFile(file, Buffer.alloc(1_000));
    await fetchIt();
    expect(await isRight()).toBe(true);
    await appendFile(file, 'more');
    await fetchIt();
    expect(await isRight()).toBe(true);
    await writeFile(file, content.subarray(0, 500));
    server.whim = (_, response, bytes) => {
      response.writeHead(200, { 'content-length': bytes.byteLength }).end(bytes);
      return true;
    };
    await fetchIt();
    expect(await isRight()).toBe(true);
  });

  it('asks for new addresses where they have expired, and says so where new ones are refused too', async () => {
    const addresses = await server.addresses([part]);
    const fetchBy = (): Promise<void> =>
      fetchPart(addresses, part, file, { report: () => undefined, fetched: () => undefined }, new AbortController().signal, patience);
    server.round = 1;
    await fetchBy();
    expect(await isRight()).toBe(true);
    await rm(file);
    server.whim = (_, response) => {
      response.writeHead(403).end('<Error><Code>RequestTimeTooSkewed</Code></Error>');
      return true;
    };
    await expect(fetchBy()).rejects.toThrow(
      /^model.safetensors cannot be fetched \(the store answered 403 RequestTimeTooSkewed: its key may not read the bucket, or the clocks of the API and the store differ\): what has come is kept/,
    );
  });

  it('rides through errors of the server and gives up when nothing comes any more, keeping what it has', async () => {
    let errors = 3;
    server.whim = (_, response) => {
      errors -= 1;
      if (errors < 0) return false;
      response.writeHead(503).end();
      return true;
    };
    await fetchIt();
    expect(await isRight()).toBe(true);
    await writeFile(file, content.subarray(0, 10));
    errors = 100;
    await expect(fetchIt()).rejects.toThrow(/answered 503/);
    expect((await stat(file)).size).toBe(10);
  });

  it('does not hand on what is damaged, too short, too long or missing in the store', async () => {
    const flipped = Buffer.from(content);
    flipped.writeUInt8(flipped.readUInt8(500_000) ^ 1, 500_000);
    server.spoil(part.sha256, flipped);
    await expect(fetchIt()).rejects.toThrow(/damaged in the store: its SHA-256 is not/);
    server.spoil(part.sha256, content.subarray(1));
    await expect(fetchIt()).rejects.toThrow(/cannot be fetched/);
    await rm(file, { force: true });
    server.spoil(part.sha256, Buffer.concat([content, Buffer.from('x')]));
    await expect(fetchIt()).rejects.toThrow(/more than its 1000000 bytes came/);
    await rm(file, { force: true });
    part = { ...part, sha256: 'f'.repeat(64) };
    await expect(fetchIt()).rejects.toThrow(/is missing in the store/);
  });
});
