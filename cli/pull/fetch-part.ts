import { type Hash, createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { sleep } from '../../platform/clock.ts';
import { CommandError } from '../command.ts';
import type { Addresses } from './addresses.ts';
import { openAddress } from './open-address.ts';

/** A file of a version as it lies in a folder. */
export type Part = { readonly path: string; readonly sha256: string; readonly bytes: number };

/** How often in a row nothing may come before we give up, and the first pause, which doubles: with these, about 40 seconds. */
export type Patience = { readonly tries: number; readonly firstPauseMs: number };
export const usualPatience: Patience = { tries: 8, firstPauseMs: 500 };
const longestPauseMs = 10_000;
/** Letters of an error of the store that are looked at. */
const mostSaid = 2_000;

/** What passes by itself, so that it is tried again. */
class Passing extends Error {}
/** The site that was asked does not have it. */
class Missing extends Passing {}

/**
 * Fetches a part into a file, going on behind the bytes that an interrupted call left there. When it returns, the file is on disk and has the
 * part's SHA-256, over the whole. `report` hears how many bytes there are now, `fetched` how many came over the network.
 */
export async function fetchPart(
  addresses: Addresses,
  part: Part,
  file: string,
  on: { readonly report: (bytes: number) => void; readonly fetched: (bytes: number) => void },
  signal: AbortSignal,
  patience: Patience = usualPatience,
): Promise<void> {
  let failures = 0;
  let damaged = 0;
  let missing = 0;
  let furthest = 0;
  for (;;) {
    const { hash, bytes: before } = await found(file, part.bytes);
    const url = addresses.urlOf(part.sha256);
    const sites = addresses.sitesOf(part.sha256);
    on.report(before);
    let received = 0;
    const take = (chunk: Buffer): void => {
      hash.update(chunk);
      received += chunk.byteLength;
      on.fetched(chunk.byteLength);
      on.report(before + received);
      if (before + received > part.bytes) throw new Passing(`more than its ${part.bytes} bytes came`);
    };
    try {
      if (before < part.bytes || part.bytes === 0) await append(addresses, url, part, file, before, take, signal);
      if (before + received < part.bytes) throw new Passing(`it ended ${part.bytes - before - received} bytes too early`);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof CommandError) throw error;
      if (error instanceof Missing) missing += 1;
      if (missing >= sites) throw new CommandError(`${part.path} is missing in the store: tell the operator, who can repair it`);
      addresses.turnFrom(part.sha256, url);
      // Only what was never reached before is progress: what begins again and again is none.
      failures = before + received > furthest ? 1 : failures + 1;
      furthest = Math.max(furthest, before + received);
      if (failures >= patience.tries)
        throw new CommandError(
          `${part.path} cannot be fetched (${wordsOf(error)}): what has come is kept, the same command goes on from there`,
        );
      await sleep(Math.min(patience.firstPauseMs * 2 ** (failures - 1), longestPauseMs), undefined, { signal });
      continue;
    }
    if (hash.digest('hex') === part.sha256) return;
    await rm(file, { force: true });
    damaged += 1;
    addresses.turnFrom(part.sha256, url);
    // The first time it may be what an older call left; what comes whole and wrong from every site is wrong in the store.
    if (damaged > sites)
      throw new CommandError(
        `${part.path} is damaged in the store: its SHA-256 is not ${part.sha256}; tell the operator, who can repair it`,
      );
  }
}

/** What is in the file already, hashed. More than the part has is not of it. */
async function found(file: string, expected: number): Promise<{ readonly hash: Hash; readonly bytes: number }> {
  const size = (await stat(file).catch(() => null))?.size ?? 0;
  const hash = createHash('sha256');
  if (size > expected) await rm(file);
  if (size === 0 || size > expected) return { hash, bytes: 0 };
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return { hash, bytes: size };
}

async function append(
  addresses: Addresses,
  url: string,
  part: Part,
  file: string,
  from: number,
  take: (chunk: Buffer) => void,
  signal: AbortSignal,
): Promise<void> {
  const response = await openAddress(url, from, signal);
  const status = response.statusCode ?? 0;
  const ofRange = status === 206 && (response.headers['content-range'] ?? '').startsWith(`bytes ${from}-`);
  if (from === 0 ? status !== 200 : !ofRange) {
    const said = status === 403 ? await refusalOf(response) : '';
    response.destroy();
    if (status === 404) throw new Missing('the store does not have it');
    // It expired meanwhile, or the store's clock is not the API's: that shows when new ones are refused as well.
    if (status === 403) await addresses.renew(part.sha256, url);
    else if (from > 0 && (status < 400 || status === 416)) await rm(file, { force: true });
    throw new Passing(`the store answered ${status}${said}`);
  }
  const taking = new Transform({
    transform: (chunk: Buffer, _encoding, next) => {
      try {
        take(chunk);
        next(null, chunk);
      } catch (error) {
        next(error as Error);
      }
    },
  });
  await pipeline(response, taking, createWriteStream(file, { flags: from > 0 ? 'a' : 'w', flush: true }), { signal });
}

/** Why an address may be refused, with S3's own code. */
async function refusalOf(response: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of response) {
    body += (chunk as Buffer).toString('utf8');
    if (body.length > mostSaid) break;
  }
  const code = /<Code>(\w+)<\/Code>/.exec(body)?.[1];
  return `${code === undefined ? '' : ` ${code}`}: its key may not read the bucket, or the clocks of the API and the store differ`;
}

function wordsOf(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  return message || code || String(error);
}
